"""How the models that come with datamanager are made: `python -m training.NAME` for one; training/README.md says what each reached."""

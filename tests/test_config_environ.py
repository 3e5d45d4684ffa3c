from datamanager.config import Config, environ_of, given, load_config


def test_the_variables_of_a_config_give_it_again() -> None:
    environ = {"DATAMANAGER_PORT": "9", "DATAMANAGER_S3_BUCKET": "b", "DATAMANAGER_LOCAL_MONGO_CACHE_GB": "0.5"}
    config = load_config(environ)
    assert environ_of(config) == environ
    assert load_config(environ_of(config)) == config


def test_a_config_of_defaults_needs_no_variable() -> None:
    assert environ_of(Config()) == {}


def test_only_our_own_variables_count_as_given() -> None:
    assert given({"DATAMANAGER_PORT": "9", "PATH": "/bin"}) == {"DATAMANAGER_PORT": "9"}

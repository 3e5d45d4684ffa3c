"""What the kinds of documents share: json, yaml, toml, msgpack, vuer_msg."""

"""One TOML file per phone; read them through :mod:`focalsim.camera`."""

"""
Every setting, read once: from the environment, then from barfill.toml, then its default.

The settings file is `barfill.toml` in BARFILL_HOME and nowhere else. A file in the current directory is never
read: whoever can put one there could point a provider's base URL, and with it the keys, at a host of his own.
Only the wiring knows settings; everything below is handed what it needs.
"""

from barfill.settings.kinds import SettingInfo, Source
from barfill.settings.model import FILE_NAME, SETTINGS, Settings, default_home, shown_path
from barfill.settings.reading import read_settings, settings_path

__all__ = [
    "FILE_NAME",
    "SETTINGS",
    "SettingInfo",
    "Settings",
    "Source",
    "default_home",
    "read_settings",
    "settings_path",
    "shown_path",
]

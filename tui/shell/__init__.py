"""The frame around the screens: menu, keys, dialogs, help and the application context."""

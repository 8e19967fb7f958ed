"""Files: written whole or not at all; bytes of others read with care."""

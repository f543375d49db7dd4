"""TNEF, Outlook's envelope for whole messages (winmail.dat), read only (MS-OXTNEF)."""

"""Everything of an installation in one sealed file, and back."""

from gatepost.admin.backup.content import Summary
from gatepost.admin.backup.restore import Restored, inspect, restore
from gatepost.admin.backup.save import Saved, save

__all__ = ["Restored", "Saved", "Summary", "inspect", "restore", "save"]

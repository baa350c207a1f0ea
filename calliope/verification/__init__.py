"""Is a journal file whole?"""

from calliope.verification.damage import Damage
from calliope.verification.journal_file import Verification, verify_journal

__all__ = ["Damage", "Verification", "verify_journal"]

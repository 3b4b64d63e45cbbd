"""The emulated AWS and the private PostgreSQL server of one working copy.

state: what runs, by pid, kept in a file; emulator: MiniStack; cluster: PostgreSQL; narration: how the demo talks.
"""

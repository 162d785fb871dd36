"""Sending events: signing them (`signing`), where they may go (`guard`), over HTTP (`posting`), fairly (`sender`)."""

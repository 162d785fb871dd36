"""Refusals: what the login service says no to, by codes; the face has the words for them."""


class Refused(Exception):
    """What was asked for is not done; `detail` says more for people."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(detail or code)
        self.code = code
        self.detail = detail

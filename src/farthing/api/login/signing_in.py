"""Signing up, in and out, and forgotten passwords, on the wire."""

from typing import Any, Final

import msgspec

from ..endpoint import Reply, Request
from .calls import call
from .cookies import given, taken
from .desk import LoginDesk, person_of
from .fields import REFRESH_COOKIE, cookie, read_body
from .wire import (
    EXAMPLE_ID,
    EmailRequest,
    LoggedIn,
    LoginRequest,
    LogoutRequest,
    Nothing,
    Refreshed,
    RefreshRequest,
    ResetRequest,
    Said,
    SignedUp,
    SignUpRequest,
    VerifyRequest,
    write_login_user,
)

_encode = msgspec.json.Encoder().encode


async def sign_up(request: Request, desk: LoginDesk) -> SignedUp:
    """A new user, not verified yet."""
    body = read_body(request)
    names = [body.text(name) for name in ("username", "email", "password")]
    user = await desk.login.sign_up(desk.visit(request), *names)
    return SignedUp("User registered successfully. Please verify your email.", user.id)


async def verify_email(request: Request, desk: LoginDesk) -> Said:
    """A code that was mailed."""
    code = read_body(request).text("token", "Token is required")
    await desk.login.verify_email(desk.visit(request), code)
    return Said("Email verified successfully")


async def resend_verification(request: Request, desk: LoginDesk) -> Said:
    """Another code."""
    email = read_body(request).text("email", "Email is required")
    await desk.login.resend_code(desk.visit(request), email)
    return Said("Verification code resent")


async def log_in(request: Request, desk: LoginDesk) -> Reply:
    """Tokens for name and password."""
    body = read_body(request)
    name, password = body.text("username"), body.text("password")
    got = await desk.login.log_in(desk.visit(request), name, password)
    told = LoggedIn("Login successful", got.access, got.refresh, write_login_user(got.user))
    return Reply(200, _encode(told), headers=given(got, desk.wherefrom.is_https(request)))


async def refresh(request: Request, desk: LoginDesk) -> Reply:
    """The next tokens."""
    body = read_body(request)
    token = cookie(request, REFRESH_COOKIE) or body.text("refreshToken", "Refresh token is required")
    got = await desk.login.refresh(desk.visit(request), token)
    told = Refreshed("Token refreshed successfully", got.access, got.refresh)
    return Reply(200, _encode(told), headers=given(got, desk.wherefrom.is_https(request)))


async def log_out(request: Request, desk: LoginDesk) -> Reply:
    """End the session, and that of a refresh token which is sent along."""
    token = cookie(request, REFRESH_COOKIE) or read_body(request).optional("refreshToken") or ""
    caller = request.caller
    session = caller.person.session if caller.person else ""
    await desk.login.log_out(
        caller.workspace.id, person_of(caller), session, token, desk.act(request), caller.role
    )  # fmt: skip
    return _gone("Logout successful", request, desk)


async def log_out_everywhere(request: Request, desk: LoginDesk) -> Reply:
    """End all sessions."""
    read_body(request)
    caller = request.caller
    await desk.login.log_out_everywhere(caller.workspace.id, person_of(caller), desk.act(request), caller.role)
    return _gone("Logged out from all devices", request, desk)


def _gone(message: str, request: Request, desk: LoginDesk) -> Reply:
    return Reply(200, _encode(Said(message)), headers=taken(desk.wherefrom.is_https(request)))


async def forgot_password(request: Request, desk: LoginDesk) -> Said:
    """A mail, if there is anybody."""
    email = read_body(request).text("email", "Email is required")
    await desk.login.forgot_password(desk.visit(request), email)
    return Said("If your email exists in our system, you will receive a password reset link")


async def reset_password(request: Request, desk: LoginDesk) -> Said:
    """A new password for what was mailed."""
    body = read_body(request)
    token, password = body.text("token"), body.text("newPassword")
    await desk.login.reset_password(desk.visit(request), token, password)
    return Said("Password reset successful")


_TOKEN: Final = "eyJhbGciOiJIUzI1NiJ9.e30.signature"  # noqa: S105 - an example
_TOKENS: Final[dict[str, Any]] = {"accessToken": _TOKEN, "refreshToken": _TOKEN}
_EMAIL: Final = {"email": "anna@example.com"}

ENDPOINTS: Final = (
    call(
        "signUp",
        path="/api/auth/signup",
        summary="Sign up",
        description="Makes a user of role enduser, and mails a code to the address. A setting of the workspace closes "
        "it.",
        request=SignUpRequest,
        answer=SignedUp,
        status=201,
        example={"username": "anna", **_EMAIL, "password": "correct horse"},
        answered={"message": "User registered successfully. Please verify your email.", "userId": EXAMPLE_ID},
        act=sign_up,
    ),
    call(
        "verifyEmail",
        path="/api/auth/verify-email",
        summary="Verify an address",
        description="By the code that was mailed to it: 6 characters, good once, for 15 minutes.",
        request=VerifyRequest,
        answer=Said,
        example={"token": "K7M2QX"},
        answered={"message": "Email verified successfully"},
        act=verify_email,
    ),
    call(
        "resendVerification",
        path="/api/auth/resend-verification",
        summary="Mail another code",
        description="The answer is the same whether or not there is such a user.",
        request=EmailRequest,
        answer=Said,
        example=_EMAIL,
        answered={"message": "Verification code resent"},
        act=resend_verification,
    ),
    call(
        "login",
        path="/api/auth/login",
        summary="Sign in",
        description="An access token for 15 minutes and a refresh token for 7 days, in the body and as cookies "
        "(httpOnly, SameSite=Strict). Who fails again and again has to wait: 429 with Retry-After.",
        request=LoginRequest,
        answer=LoggedIn,
        example={"username": "anna", "password": "correct horse"},
        answered={
            "message": "Login successful",
            **_TOKENS,
            "user": {"id": EXAMPLE_ID, "username": "anna", **_EMAIL, "isVerified": True, "role": "enduser"},
        },
        act=log_in,
    ),
    call(
        "refreshTokens",
        path="/api/auth/refresh",
        summary="The next tokens",
        description="Each refresh token is good once. One that was used before has been copied: the session ends, for "
        "all who have tokens of it.",
        request=RefreshRequest,
        answer=Refreshed,
        example={"refreshToken": _TOKEN},
        answered={"message": "Token refreshed successfully", **_TOKENS},
        act=refresh,
    ),
    call(
        "logout",
        path="/api/auth/logout",
        summary="Sign out",
        description="Ends the session of the access token, and that of a refresh token which is sent along.",
        request=LogoutRequest,
        answer=Said,
        example={},
        answered={"message": "Logout successful"},
        act=log_out,
    ),
    call(
        "logoutEverywhere",
        path="/api/auth/logout-all",
        summary="Sign out everywhere",
        description="Ends all sessions of the caller.",
        request=Nothing,
        answer=Said,
        example={},
        answered={"message": "Logged out from all devices"},
        act=log_out_everywhere,
    ),
    call(
        "forgotPassword",
        path="/api/auth/forgot-password",
        summary="A password was forgotten",
        description="Mails a token that is good for an hour, once. The answer is the same whether or not there is such "
        "a user.",
        request=EmailRequest,
        answer=Said,
        example=_EMAIL,
        answered={"message": "If your email exists in our system, you will receive a password reset link"},
        act=forgot_password,
    ),
    call(
        "resetPassword",
        path="/api/auth/reset-password",
        summary="Set a forgotten password anew",
        description="By the token that was mailed. All sessions end.",
        request=ResetRequest,
        answer=Said,
        example={"token": "3q2-7wAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "newPassword": "battery staple"},
        answered={"message": "Password reset successful"},
        act=reset_password,
    ),
)

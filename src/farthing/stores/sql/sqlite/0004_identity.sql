-- Who is calling: users, their sessions, whose tokens are taken. And streaming sessions, and usage that is recorded
-- without a charge.

-- The people of a workspace. `id` is the subject of their tokens, and the name of their account. The two keys are what
-- names and addresses are found and compared by; those of a record that another one has taken them from are empty.
create table users (
    workspace text not null references workspace (id),
    id text not null,
    username text not null,
    username_key text not null,
    email text not null,
    email_key text not null,
    role text not null check (role in ('user', 'supervisor', 'admin')),
    verified integer not null,
    password text not null,
    created_at integer not null,
    updated_at integer not null,
    primary key (workspace, id)
) strict, without rowid;
create unique index users_username on users (workspace, username_key) where username_key <> '';
create unique index users_email on users (workspace, email_key) where email_key <> '';
create index users_created on users (workspace, created_at, id);

-- A login and all that was refreshed from it. A refresh token has the number of its turn: one of an earlier turn was
-- used before, and ends the session.
create table login_session (
    id text primary key,
    workspace text not null,
    user_id text not null,
    turn integer not null,
    created_at integer not null,
    used_at integer not null,
    expires_at integer not null,
    ended_at integer,
    ended_by text not null default ''
) strict, without rowid;
create index login_session_user on login_session (workspace, user_id);
create index login_session_end on login_session (expires_at);

-- Codes sent by mail, as their hash; each is used once.
create table login_code (
    workspace text not null,
    purpose text not null check (purpose in ('verify', 'reset')),
    hash blob not null,
    user_id text not null,
    email_key text not null,
    created_at integer not null,
    expires_at integer not null,
    primary key (workspace, purpose, hash)
) strict, without rowid;
create index login_code_user on login_code (workspace, user_id, purpose);

-- What failed lately at the login service, by account and by address: `subject` is a hash.
create table login_failure (
    workspace text not null,
    subject blob not null,
    failures integer not null,
    first_at integer not null,
    last_at integer not null,
    primary key (workspace, subject)
) strict, without rowid;
create index login_failure_last on login_failure (last_at);

-- Whose tokens a workspace takes. `mark` is what one workspace alone may have: a secret (its hash), or issuer and
-- audience.
create table token_issuer (
    id text primary key,
    workspace text not null references workspace (id),
    name text not null,
    algorithm text not null,
    issuer text not null,
    audience text not null,
    jwks_url text not null,
    secret text not null,
    claims text not null,
    mark blob not null unique,
    created_at integer not null
) strict, without rowid;
create index token_issuer_workspace on token_issuer (workspace, created_at);

-- Streaming sessions, by the name that the client gave them; what became of the credits stands with the hold.
create table stream_session (
    workspace text not null,
    account text not null,
    bucket integer not null,
    session text not null,
    hold text not null,
    model text not null,
    estimated integer not null,
    started_at integer not null,
    ended_at integer,
    failed integer not null default 0,
    primary key (workspace, account, session, bucket)
) strict, without rowid;
-- Of one account and of all: those that nobody has ended, and those that were ended lately.
create index stream_session_account on stream_session (workspace, account, ended_at, started_at);
create index stream_session_ended on stream_session (workspace, ended_at, started_at);

-- The allocations of a whole workspace, newest first. Only what gives credits writes it.
create index grants_time on grants (workspace, created_at, id);

-- What was recorded as used where something else had charged for it.
alter table rollup add column recorded_high integer not null default 0;
alter table rollup add column recorded_low integer not null default 0;

-- What tokens and people are cached by: raised with each change to users and sessions.
insert into config (name, value) values ('people', '1');

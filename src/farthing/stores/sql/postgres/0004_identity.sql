-- Who is calling: users, their sessions, whose tokens are taken. And streaming sessions, and usage that is recorded
-- without a charge.

-- The people of a workspace. `id` is the subject of their tokens, and the name of their account. The two keys are what
-- names and addresses are found and compared by; those of a record that another one has taken them from are empty.
create table users (
    workspace text collate "C" not null references workspace (id),
    id text collate "C" not null,
    username text not null,
    username_key text collate "C" not null,
    email text not null,
    email_key text collate "C" not null,
    role text not null check (role in ('user', 'supervisor', 'admin')),
    verified smallint not null,
    password text not null,
    created_at bigint not null,
    updated_at bigint not null,
    primary key (workspace, id)
);
create unique index users_username on users (workspace, username_key) where username_key <> '';
create unique index users_email on users (workspace, email_key) where email_key <> '';
create index users_created on users (workspace, created_at, id);

-- A login and all that was refreshed from it. A refresh token has the number of its turn: one of an earlier turn was
-- used before, and ends the session.
create table login_session (
    id text collate "C" primary key,
    workspace text collate "C" not null,
    user_id text collate "C" not null,
    turn bigint not null,
    created_at bigint not null,
    used_at bigint not null,
    expires_at bigint not null,
    ended_at bigint,
    ended_by text not null default ''
);
create index login_session_user on login_session (workspace, user_id);
create index login_session_end on login_session (expires_at);

-- Codes sent by mail, as their hash; each is used once.
create table login_code (
    workspace text collate "C" not null,
    purpose text collate "C" not null check (purpose in ('verify', 'reset')),
    hash bytea not null,
    user_id text collate "C" not null,
    email_key text collate "C" not null,
    created_at bigint not null,
    expires_at bigint not null,
    primary key (workspace, purpose, hash)
);
create index login_code_user on login_code (workspace, user_id, purpose);

-- What failed lately at the login service, by account and by address: `subject` is a hash.
create table login_failure (
    workspace text collate "C" not null,
    subject bytea not null,
    failures bigint not null,
    first_at bigint not null,
    last_at bigint not null,
    primary key (workspace, subject)
);
create index login_failure_last on login_failure (last_at);

-- Whose tokens a workspace takes. `mark` is what one workspace alone may have: a secret (its hash), or issuer and
-- audience.
create table token_issuer (
    id text collate "C" primary key,
    workspace text collate "C" not null references workspace (id),
    name text not null,
    algorithm text not null,
    issuer text collate "C" not null,
    audience text collate "C" not null,
    jwks_url text not null,
    secret text not null,
    claims text not null,
    mark bytea not null unique,
    created_at bigint not null
);
create index token_issuer_workspace on token_issuer (workspace, created_at);

-- Streaming sessions, by the name that the client gave them; what became of the credits stands with the hold.
create table stream_session (
    workspace text collate "C" not null,
    account text collate "C" not null,
    bucket smallint not null,
    session text collate "C" not null,
    hold text collate "C" not null,
    model text not null,
    estimated bigint not null,
    started_at bigint not null,
    ended_at bigint,
    failed smallint not null default 0,
    primary key (workspace, account, session, bucket)
);
-- Of one account and of all: those that nobody has ended, and those that were ended lately.
create index stream_session_account on stream_session (workspace, account, ended_at, started_at);
create index stream_session_ended on stream_session (workspace, ended_at, started_at);

-- The allocations of a whole workspace, newest first. Only what gives credits writes it.
create index grants_time on grants (workspace, created_at, id);

-- What was recorded as used where something else had charged for it.
alter table rollup add column recorded_high bigint not null default 0;
alter table rollup add column recorded_low bigint not null default 0;
-- A row of them as it is written now; older code goes on with its own.
create type rollup_sums as (
    workspace text, account text, span bigint, at bigint, service text, operation text, provider text, model text,
    bucket smallint, requests bigint, unpriced bigint, uncosted bigint, bookings bigint, input_tokens_high bigint,
    input_tokens_low bigint, output_tokens_high bigint, output_tokens_low bigint, tokens_high bigint, tokens_low bigint,
    charged_high bigint, charged_low bigint, cost_high bigint, cost_low bigint, revenue_high bigint, revenue_low bigint,
    refunded_high bigint, refunded_low bigint, booked_cost_high bigint, booked_cost_low bigint, recorded_high bigint,
    recorded_low bigint
);

-- What tokens and people are cached by: raised with each change to users and sessions.
insert into config (name, value) values ('people', '1');

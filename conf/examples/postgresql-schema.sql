-- The accounts of a large site in PostgreSQL 13 or later, for Dovecot as the mail store behind smtpd-classic:
--   createdb mail && psql -d mail -f postgresql-schema.sql
-- Dovecot 2.3 asks by dovecot-2.3.conf and dovecot-2.3-sql.conf.ext, and 2.4 by dovecot-2.4.conf.
BEGIN;

CREATE TABLE domains (
    name text PRIMARY KEY CHECK (name = lower(name))
);

CREATE TABLE accounts (
    address  text PRIMARY KEY CHECK (address = lower(address) AND address LIKE '_%@_%'),
    domain   text GENERATED ALWAYS AS (split_part(address, '@', 2)) STORED REFERENCES domains (name),
    -- As “doveadm pw -s ARGON2ID” prints it.
    password text NOT NULL CHECK (password LIKE '{%}%'),
    quota_mb bigint NOT NULL DEFAULT 0 CHECK (quota_mb >= 0),
    -- An account that may not log in still gets mail.
    login    boolean NOT NULL DEFAULT true
);
CREATE INDEX accounts_of_domain ON accounts (domain);

CREATE VIEW dovecot_passdb AS
    SELECT address AS "user", password FROM accounts WHERE login;

-- 0 means no limit, for Dovecot too.
CREATE VIEW dovecot_userdb AS
    SELECT address AS "user", '*:storage=' || quota_mb || 'M' AS quota_rule FROM accounts;

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'dovecot') THEN
        CREATE ROLE dovecot LOGIN;
    END IF;
END
$$;
GRANT SELECT ON dovecot_passdb, dovecot_userdb TO dovecot;

COMMIT;

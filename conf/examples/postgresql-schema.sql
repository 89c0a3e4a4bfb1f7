-- The accounts of a large site in PostgreSQL 13 or later, for Dovecot as the mail store behind smtpd-classic:
--   createdb mail && psql -d mail -f postgresql-schema.sql
-- Dovecot 2.3, dovecot-sql.conf.ext (2.4 has the same queries in passdb sql, userdb sql):
--   driver = pgsql
--   connect = host=10.0.0.40 dbname=mail user=dovecot password=CHANGE-ME
--   password_query = SELECT "user", password FROM dovecot_passdb WHERE "user" = lower('%u')
--   user_query = SELECT quota_rule FROM dovecot_userdb WHERE "user" = lower('%u')
--   iterate_query = SELECT "user" AS username FROM dovecot_userdb
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

#include "tools/session.h"
#include "tools/report.h"

int session_status(const struct session *session, int rc)
{
	return rc < 0 ? report_status(rc, session->path) : EXIT_OK;
}

static int open_database(struct session *session, const struct args *args, unsigned flags)
{
	kv_options options = {.flags = flags, .log = report_log};

	*session = (struct session){.path = args->operands[0]};
	return session_status(session, kv_open(session->path, &options, &session->db));
}

static int begin(struct session *session, unsigned flags)
{
	return session_status(session, kv_begin(session->db, flags, &session->txn));
}

static int open_table(struct session *session, const char *name, unsigned flags)
{
	int rc = kv_table_open(session->txn, name, flags, &session->table);

	if (rc == KV_NO_TABLE) {
		report("%s: no table '%s'", session->path, name);
		return EXIT_DATABASE;
	}
	return session_status(session, rc);
}

int session_open(struct session *session, const struct args *args)
{
	return open_database(session, args, KV_READ_ONLY_DB | KV_EXISTING);
}

int session_read(struct session *session, const struct args *args)
{
	int code = session_open(session, args);

	if (!code)
		code = begin(session, KV_READ);
	if (!code)
		code = open_table(session, args->operands[1], 0);
	return code;
}

int session_write(struct session *session, const struct args *args, bool make_table)
{
	int code = open_database(session, args, args->create ? KV_CREATE : KV_EXISTING);

	if (!code)
		code = begin(session, KV_WRITE);
	session->writes = !code;
	if (!code)
		code = open_table(session, args->operands[1], make_table ? KV_CREATE : 0);
	return code;
}

int session_close(struct session *session, int code)
{
	const bool keep = code == EXIT_OK || code == EXIT_NEGATIVE;
	int rc = KV_OK, failed;

	if (session->writes && keep)
		rc = kv_commit(session->txn);
	else if (session->writes)
		kv_abort(session->txn);
	else
		rc = kv_end(session->txn);
	failed = keep ? session_status(session, rc) : EXIT_OK;
	rc = kv_close(session->db);
	if (keep && !failed)
		failed = session_status(session, rc);
	return failed ? failed : code;
}

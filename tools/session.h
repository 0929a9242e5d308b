/* An open database with one transaction: what nearly every command begins and ends with. */
#ifndef KV_TOOLS_SESSION_H
#define KV_TOOLS_SESSION_H

#include "tools/args.h"

#include <kv/kv.h>

/* All NULL before it is opened. */
struct session {
	const char *path; /* the user's: operand 0 */
	kv_db *db;
	kv_txn *txn;
	kv_table *table;
	bool writes;
};

/* Opens the database of operand 0, which must exist, without ever writing to it. */
int session_open(struct session *session, const struct args *args);

/* The same, with a reader and the table of operand 1. */
int session_read(struct session *session, const struct args *args);

/* Opens the database for writing, made first if --create was given, and begins the writer. The
 * table of operand 1 is made if make_table, else must exist. */
int session_write(struct session *session, const struct args *args, bool make_table);

/* Ends what the functions above began, also after they failed. A writer is committed if code is
 * EXIT_OK or EXIT_NEGATIVE, else aborted. Returns code, or what went wrong now. */
int session_close(struct session *session, int code);

/* Like the library's answers: EXIT_OK or EXIT_DATABASE, reported with the database's path. */
int session_status(const struct session *session, int rc);

#endif

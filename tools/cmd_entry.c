/* get, put and del: single entries. */
#include "tools/command.h"
#include "tools/input.h"
#include "tools/keys.h"
#include "tools/output.h"
#include "tools/report.h"
#include "tools/session.h"
#include "tools/text.h"

/* ---- get ----------------------------------------------------------------------------------- */

static void print_value(const struct args *args, kv_slice value)
{
	if (args->raw) {
		output_bytes(value.data, value.size);
		return;
	}
	text_print(value, args->hex);
	output_string("\n");
}

static int get(struct session *session, const struct args *args, kv_slice key)
{
	kv_slice value;
	int rc = kv_get(session->txn, session->table, key, &value);

	if (rc == KV_NOT_FOUND) {
		report("no such key in table '%s'", args->operands[1]);
		return EXIT_NEGATIVE;
	}
	if (rc == KV_OK)
		print_value(args, value);
	return session_status(session, rc);
}

static int run_get(const struct args *args)
{
	struct session session;
	struct key key;
	int code = key_parse(args->operands[2], args->hex, &key);

	if (code)
		return code;
	code = session_read(&session, args);
	if (!code)
		code = get(&session, args, key.bytes);
	key_free(&key);
	return session_close(&session, code);
}

const struct command command_get = {
        .name = "get",
        .operands = "DATABASE TABLE KEY",
        .summary = "print the value of a key",
        .about = "Prints the value and a newline. Printable UTF-8 appears as it is, every other\n"
                 "byte as \\xNN. With --raw exactly the value's bytes are written. Exit code 1 if\n"
                 "the table has no such key.",
        .example = "  kvtool get app.kv users alice\n"
                   "  kvtool get --raw app.kv pictures cat > cat.jpg",
        .least = 3,
        .most = 3,
        .options = OPTION_HEX | OPTION_RAW,
        .run = run_get,
};

/* ---- put ----------------------------------------------------------------------------------- */

static int put(const struct args *args, kv_slice key, kv_slice value)
{
	struct session session;
	int code = session_write(&session, args, true);

	if (!code)
		code = session_status(&session, kv_put(session.txn, session.table, key, value));
	return session_close(&session, code);
}

static int put_file(const struct args *args, kv_slice key)
{
	struct input input;
	int code = input_open(&input, args->value_file, KV_MAX_VALUE);

	if (!code)
		code = input_read_all(&input);
	if (!code)
		code = put(args, key, kv_bytes(input.data, input.size));
	input_close(&input);
	return code;
}

static int put_argument(const struct args *args, kv_slice key)
{
	struct key value;
	int code = key_parse(args->operands[3], args->hex, &value);

	if (code)
		return code;
	code = put(args, key, value.bytes);
	key_free(&value);
	return code;
}

static int run_put(const struct args *args)
{
	const bool from_file = args->value_file, from_argument = args->operand_count == 4;
	struct key key;
	int code;

	if (from_file == from_argument)
		return args_fault("put", "wants either VALUE or --value-file");
	code = key_parse(args->operands[2], args->hex, &key);
	if (code)
		return code;
	code = from_file ? put_file(args, key.bytes) : put_argument(args, key.bytes);
	key_free(&key);
	return code;
}

const struct command command_put = {
        .name = "put",
        .operands = "DATABASE TABLE KEY [VALUE]",
        .summary = "set the value of a key",
        .about = "Sets the value of the key, durably. The table is made if it is missing; the\n"
                 "database only with --create. With --value-file the value is the file's bytes\n"
                 "as they are, even with --hex.",
        .example = "  kvtool put --create app.kv users alice '{\"age\": 30}'\n"
                   "  kvtool put --value-file cat.jpg app.kv pictures cat",
        .least = 3,
        .most = 4,
        .options = OPTION_CREATE | OPTION_HEX | OPTION_VALUE_FILE,
        .run = run_put,
};

/* ---- del ----------------------------------------------------------------------------------- */

static int delete_key(struct session *session, const struct args *args, const char *text)
{
	struct key key;
	int rc, code = key_parse(text, args->hex, &key);

	if (code)
		return code;
	rc = kv_remove(session->txn, session->table, key.bytes);
	key_free(&key);
	if (rc == KV_NOT_FOUND) {
		report("no key '%s' in table '%s'", text, args->operands[1]);
		return EXIT_NEGATIVE;
	}
	return session_status(session, rc);
}

static int run_del(const struct args *args)
{
	struct session session;
	int code = session_write(&session, args, false);
	bool missing = false;

	for (int i = 2; i < args->operand_count && !code; i++) {
		code = delete_key(&session, args, args->operands[i]);
		if (code == EXIT_NEGATIVE) {
			missing = true;
			code = EXIT_OK;
		}
	}
	return session_close(&session, !code && missing ? EXIT_NEGATIVE : code);
}

const struct command command_del = {
        .name = "del",
        .operands = "DATABASE TABLE KEY...",
        .summary = "delete keys",
        .about = "Deletes the keys in one durable transaction. Keys that are missing are named;\n"
                 "the others are deleted all the same, and the exit code is 1.",
        .example = "  kvtool del app.kv users alice bob",
        .least = 3,
        .most = -1,
        .options = OPTION_HEX,
        .run = run_del,
};

/* Noting runs in a ledger, in two steps: so that nothing need be given back for lack of memory. */
#ifndef KV_MMAP_LEDGER_INNER_H
#define KV_MMAP_LEDGER_INNER_H

#include "mmap/store.h"

/* Makes room for one more run. KV_NOMEM. */
int ledger_room_for_run(struct store *store, struct ledger *ledger);

/* Notes a run, for which there is room. */
void ledger_add_run(struct ledger *ledger, const struct run *run);

#endif

#include "tests/forge.h"

#include <stdlib.h>

#include "btree/node.h"
#include "tests/fixture.h"

void forge_begin(struct forge *forge, const char *path)
{
	forge->path = path;
	forge->data = file_read(path, &forge->size);
	forge->page_size = forge_meta(forge, 0)->page_size;
	assert_memory_equal(forge_meta(forge, 0), forge_meta(forge, 1), sizeof(struct meta));
}

void forge_end(struct forge *forge)
{
	for (unsigned page = 0; page < 2; page++)
		forge_meta(forge, page)->checksum = meta_checksum(forge_meta(forge, page));
	file_write(forge->path, forge->data, forge->size);
	free(forge->data);
}

struct meta *forge_meta(struct forge *forge, unsigned page)
{
	return (struct meta *)(void *)(forge->data + (page ? forge->page_size : 0));
}

uint8_t *forge_page(struct forge *forge, uint64_t number)
{
	assert_true(number < forge->size / forge->page_size);
	return forge->data + number * forge->page_size;
}

static uint64_t checksum(struct forge *forge, uint64_t number)
{
	return page_checksum(forge_page(forge, number), forge->page_size,
	                     forge_meta(forge, 0)->database_id, number);
}

page_id forge_sum(struct forge *forge, uint64_t number)
{
	struct page_header *header = page_header(forge_page(forge, number));

	header->checksum = checksum(forge, number);
	return page_file_id(number, header->checksum);
}

size_t forge_find(struct forge *forge, uint8_t type, uint64_t *numbers, size_t room)
{
	size_t found = 0;

	for (uint64_t n = 2; n < forge->size / forge->page_size && found < room; n++) {
		const struct page_header *header = page_header(forge_page(forge, n));

		if (header->type == type && header->checksum == checksum(forge, n))
			numbers[found++] = n;
	}
	return found;
}

void forge_set_catalog(struct forge *forge, page_id root, uint32_t height)
{
	for (unsigned page = 0; page < 2; page++) {
		forge_meta(forge, page)->catalog_root = root;
		forge_meta(forge, page)->catalog_height = height;
	}
}

static uint64_t catalog_number(struct forge *forge)
{
	assert_int_equal(forge_meta(forge, 0)->catalog_height, 1);
	return page_number(forge_meta(forge, 0)->catalog_root);
}

struct table_record *forge_record(struct forge *forge, uint8_t id)
{
	const uint8_t key[9] = {'T', 0, 0, 0, 0, 0, 0, 0, id};
	uint8_t *leaf = forge_page(forge, catalog_number(forge));
	uint32_t i = node_find(leaf, kv_bytes(key, sizeof key));
	kv_slice value;
	bool large;

	assert_int_not_equal(i, UINT32_MAX);
	value = node_value(leaf, i, &large);
	assert_int_equal(value.size, sizeof(struct table_record));
	return (struct table_record *)(void *)(leaf + ((const uint8_t *)value.data - leaf));
}

void forge_sum_catalog(struct forge *forge)
{
	forge_set_catalog(forge, forge_sum(forge, catalog_number(forge)), 1);
}

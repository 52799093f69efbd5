#ifndef JIPAN_NODE_VAULT_LAYOUT_H
#define JIPAN_NODE_VAULT_LAYOUT_H

#include "node/vault/page_cipher.h"

/* Sizes of the container, in bytes (docs/STORAGE.md, "Container"). */
enum {
    VAULT_PAGE_BYTES = 4096,
    VAULT_RESERVED_BYTES = PAGE_SEAL_BYTES, /* nonce and tag at the end of every page of the main file */
    VAULT_PAYLOAD_BYTES = VAULT_PAGE_BYTES - VAULT_RESERVED_BYTES,
    VAULT_HEADER_BLOCK_BYTES = 4096, /* before page 1 */

    WAL_HEADER_BYTES = 32,
    WAL_FRAME_HEADER_BYTES = 24,
    WAL_FRAME_BYTES = WAL_FRAME_HEADER_BYTES + VAULT_PAGE_BYTES, /* as SQLite sees it */
    WAL_MARK_BYTES = 4,
    WAL_BODY_BYTES = WAL_MARK_BYTES + WAL_FRAME_BYTES, /* what is sealed */
    WAL_DISK_HEADER_BYTES = WAL_HEADER_BYTES + PAGE_SEAL_BYTES,
    WAL_DISK_FRAME_BYTES = WAL_BODY_BYTES + PAGE_SEAL_BYTES,

    JOURNAL_BLOCK_BYTES = 512,
    TEMP_BLOCK_BYTES = 4096,
    BLOCK_LENGTH_BYTES = 2,
};

static inline void put_u32be(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 24U);
    p[1] = (uint8_t)(v >> 16U);
    p[2] = (uint8_t)(v >> 8U);
    p[3] = (uint8_t)v;
}

static inline void put_u64be(uint8_t *p, uint64_t v)
{
    put_u32be(p, (uint32_t)(v >> 32U));
    put_u32be(p + 4, (uint32_t)v);
}

static inline uint32_t get_u32be(const uint8_t *p)
{
    return (uint32_t)p[0] << 24U | (uint32_t)p[1] << 16U | (uint32_t)p[2] << 8U | (uint32_t)p[3];
}

static inline uint64_t get_u64be(const uint8_t *p)
{
    return (uint64_t)get_u32be(p) << 32U | get_u32be(p + 4);
}

#endif

#ifndef JIPAN_TESTS_DISK_SIM_IMPL_H
#define JIPAN_TESTS_DISK_SIM_IMPL_H

#include "tests/lib/disk_sim.h"

/* Shared by disk_sim.c, disk_sim_state.c and disk_bytes.c only. */
enum { NAMES_MAX = 64 };

struct sim_op {
    bool is_truncate;
    uint64_t at; /* new size of a truncate */
    size_t len;
    uint8_t *data;
};

struct sim_block;

struct sim_bytes {
    struct sim_block **blocks;
    size_t len;
    size_t room; /* for so many blocks */
};

struct sim_inode {
    struct sim_inode *next;
    uint64_t number;
    bool is_dir;
    struct sim_bytes current;
    struct sim_bytes durable;
    bool is_apart; /* current is not what the operations make of durable: a failed fsync, spoiled bytes */
    struct sim_op *ops;
    size_t op_count;
    size_t op_room;
    uint64_t written;
    char *born_as; /* path it was created under */
    bool is_locked;
};

struct sim_name {
    char *path;
    struct sim_inode *inode;
};

struct sim_dir {
    struct sim_name names[NAMES_MAX];
    size_t count;
};

/* A change of a directory: to = NULL removes `path`, otherwise binds it. */
struct sim_link {
    char *path;
    struct sim_inode *inode;
};

struct disk_sim {
    struct sim_inode *inodes;
    struct sim_dir current;
    struct sim_dir durable;
    struct sim_link *links;
    size_t link_count;
    uint64_t inode_count;
    uint64_t ops;
    uint64_t crash_at;
    bool has_crashed;
    uint64_t fsyncs;
    uint64_t fail_fsync_at;
    uint64_t reads;
    uint64_t fail_read_at;
    uint64_t writes;
    uint64_t fail_write_at;
    bool has_failed;
    uint64_t capacity;
    bool is_read_only;
    struct bytes watch;
    uint64_t watch_hits;
    uint64_t calls[SIM_CALL_COUNT];
    struct sim_fault fault;
    uint64_t fault_hits;
};

/* Zeroed. Not from malloc: programs that make malloc fail do not make the disk fail with it. */
MUST_USE void *sim_alloc(size_t bytes);
MUST_USE void *sim_alloc_dirty(size_t bytes); /* not zeroed */
void sim_bytes_resize(struct sim_bytes *b, size_t len);
void sim_bytes_copy(struct sim_bytes *to, const struct sim_bytes *from); /* shares the blocks */
/* Takes the blocks around these bytes from a file that is as long or longer. */
void sim_bytes_share(struct sim_bytes *to, const struct sim_bytes *from, size_t len, uint64_t at);
void sim_bytes_put(struct sim_bytes *b, const uint8_t *data, size_t len, uint64_t at);
void sim_bytes_get(const struct sim_bytes *b, uint8_t *out, size_t len, uint64_t at); /* within the length */
uint8_t *sim_bytes_flat(struct sim_bytes *b); /* all bytes in one piece, to read and to spoil; NULL: none */
bool sim_bytes_equal(const struct sim_bytes *x, const struct sim_bytes *y); /* the same blocks */
bool sim_bytes_contain(const struct sim_bytes *b, struct bytes text);
void sim_bytes_release(struct sim_bytes *b);
void sim_ops_clear(struct sim_inode *inode);
void sim_ops_settle(struct sim_inode *inode); /* they are durable now */
void sim_op_apply(struct sim_bytes *b, const struct sim_op *op);
void sim_op_push(struct sim_inode *inode, struct sim_op op);
struct sim_name *sim_dir_find(struct sim_dir *dir, const char *path);
void sim_dir_set(struct sim_dir *dir, const char *path, struct sim_inode *inode);
void sim_dir_clear(struct sim_dir *dir);
void sim_dir_copy(struct sim_dir *to, const struct sim_dir *from);
void sim_links_clear(struct disk_sim *sim);
void sim_link_push(struct disk_sim *sim, const char *path, struct sim_inode *inode);
struct sim_inode *sim_inode_new(struct disk_sim *sim, const char *path);

#endif

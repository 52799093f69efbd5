/*
 * Owns: reading, replacing and mending the header block inside jipan.db. Replacement writes the copy that does not
 * count, makes it durable, then the other one: at every moment one whole copy exists, and afterwards no copy holds the
 * old slots. What a replacement that was broken off left is mended by writing the copy that does not count alone.
 */
#include "node/vault/vault_on.h"

enum err header_file_read(struct vault_files *files, uint8_t raw[VAULT_HEADER_BLOCK_BYTES], uint64_t *ret_size)
{
    struct disk_file *file = NULL;
    size_t got = 0;
    int error = files->disk.ops->open(files->disk.ctx, files->db_path, DISK_READ_ONLY, &file);
    if (error != 0) {
        atomic_store(&files->last_errno, error);
        return err_from_errno(error);
    }
    error = file->ops->pread(file, raw, VAULT_HEADER_BLOCK_BYTES, 0, &got);
    if (error == 0) {
        error = file->ops->size(file, ret_size);
    }
    file->ops->close(file);
    if (error != 0) {
        atomic_store(&files->last_errno, error);
        return err_from_errno(error);
    }
    return got == VAULT_HEADER_BLOCK_BYTES ? ERR_OK : ERR_DAMAGED;
}

/* Writes header as copy `copy` and makes it durable. */
static int copy_write(
    struct vault_files *files, struct disk_file *file, const struct vault_header *header, unsigned copy)
{
    uint8_t raw[HEADER_COPY_BYTES];
    header_encode(header, files->keys->header, raw);
    int error = file->ops->pwrite(file, raw, sizeof(raw), (uint64_t)copy * HEADER_COPY_BYTES);
    if (error == 0) {
        error = file->ops->fsync(file);
        if (error != 0) {
            atomic_store(&files->is_poisoned, true);
        }
    }
    return error;
}

/* Writes `count` copies, one after the other from `first` on. */
static enum err copies_write(struct vault_files *files, unsigned flags, unsigned first, unsigned count,
    struct vault_header *header, unsigned *ret_copy)
{
    struct vault_header next = *header;
    struct disk_file *file = NULL;
    int error = files->disk.ops->open(files->disk.ctx, files->db_path, flags, &file);
    if (error == 0) {
        for (unsigned i = 0; i < count && error == 0; i++) {
            next.counter++;
            error = copy_write(files, file, &next, (first + i) % HEADER_COPIES);
        }
        file->ops->close(file);
    }
    if (error != 0) {
        atomic_store(&files->last_errno, error);
        return err_from_errno(error);
    }
    *header = next;
    *ret_copy = (first + count - 1) % HEADER_COPIES;
    return ERR_OK;
}

enum err header_file_create(struct vault_files *files, struct vault_header *header, unsigned *ret_copy)
{
    return copies_write(files, DISK_CREATE | DISK_TRUNCATE, 0, HEADER_COPIES, header, ret_copy);
}

enum err header_file_replace(struct vault_files *files, struct vault_header *header, unsigned *copy)
{
    return copies_write(files, 0, *copy + 1, HEADER_COPIES, header, copy);
}

enum err header_file_mend(struct vault_files *files, struct vault_header *header, unsigned *copy)
{
    return copies_write(files, 0, *copy + 1, 1, header, copy);
}

"""Bugs that the harnesses must catch, each as a change to the store's text.

A bug that no longer applies fails like one that is not caught: whoever changes
the store then says anew what the bug looks like.
"""

OPEN = "store/file/open.c"
NEW = "store/file/new.c"
BYTES = "store/file/bytes.c"
RECORD = "store/file/record.c"
WRITE = "store/file/write.c"
DOUBT = "store/file/doubt.c"
LEDGER = "store/file/ledger.c"
MOVE = "store/file/move.c"
KEEP = "store/file/keep.c"
INFO = "store/file/info.c"

SET = """	rc = fs_pwrite(u->info_fd, buf, len, 0, NULL, e);
"""
CHECKPOINT = """	    (rc = file_flush_bytes(u, e)) != ERR_OK)
		return rc;
	head.offset = u->data_size;
	return file_set_durably(u, &head, e);
"""
FLUSH_DATA = """	if ((rc = file_flush_bytes(u, e)) != ERR_OK)
		return rc;
	return file_flush_dir(u->store, e);
"""
ROLL_BACK = """		rc = file_has_watermark(u) ? file_set_durably(u, &head, e) :
					     file_set(u, &head, e);
"""
NEW_BOOT = """	if ((rc = file_cut(u, head.offset, e)) != ERR_OK)
		return rc;
	head.offset = u->head.offset;
	head.hold = -1;
	memcpy(head.boot, u->store->boot, sizeof(head.boot));
	return file_set(u, &head, e);
"""
HOLD = """	head.hold = u->start;
	if ((rc = file_set(u, &head, e)) != ERR_OK)
		return rc;
	return append_waiting(u, e);
"""
PUT_BACK = """	before.hold = -1;
	if (before.boot[0] != INFO_NO_BOOT[0] ||
	    file_set(u, &before, &ignored) != ERR_OK)
		file_doubt(u, &before);
	return rc;
"""
GO_BY = """	if ((rc = file_prove(m->u, e)) != ERR_OK ||
	    (rc = write_down(m, name, e)) != ERR_OK)
		return rc;
	if (!m->is_copied && !m->must_copy) {
		rc = rename_it(m, name, e);
"""
COPIED = """		if ((rc = copy(m, e)) != ERR_OK ||
		    (rc = write_down(m, name, e)) != ERR_OK)
			return rc;
"""
FLUSH_COPY = """	if (rc == ERR_OK)
		rc = fs_sync(fd, m->copy, e);
"""


class Bug:
    """harnesses: letters, or the names of kinds of points ("A-eio")."""

    def __init__(self, name, harnesses, *changes, modes=None):
        self.name = name
        self.harnesses = harnesses
        self.changes = changes
        self.modes = modes


BUGS = [
    Bug("record-rewritten-in-place", ("K",), (RECORD, SET, """
	char all[4096];
	size_t got;

	if ((rc = fs_pread(u->info_fd, all, 4096, 0, &got, e)) != ERR_OK ||
	    (rc = fs_truncate(u->info_fd, 0, "info", e)) != ERR_OK)
		return rc;
	memcpy(all, buf, len);
	rc = fs_pwrite(u->info_fd, all, got, 0, NULL, e);
""")),
    Bug("head-written-in-pieces", ("K", "A"), (RECORD, SET, """
	rc = fs_pwrite(u->info_fd, buf, 60, 0, NULL, e);
	if (rc == ERR_OK)
		rc = fs_pwrite(u->info_fd, buf + 60, len - 60, 60, NULL, e);
""")),
    Bug("record-replaced-before-it-is-written", ("K",), (RECORD, """
		rc = fs_rename_at(fs->dirfd, from.text, to.text, e);
""", """
		rc = ERR_OK;
	if ((rc = fs_truncate(*fd, 0, from.text, e)) != ERR_OK ||
	    (rc = fs_rename_at(fs->dirfd, from.text, to.text, e)) != ERR_OK)
		return rc;
	rc = fs_pwrite(*fd, text, len, 0, NULL, e);
""")),
    Bug("new-record-written-in-pieces", ("K",), (RECORD, """
	rc = fs_pwrite(*fd, text, len, 0, NULL, e);
""", """
	rc = fs_pwrite(*fd, text, INFO_HEAD, 0, NULL, e);
	if (rc == ERR_OK)
		rc = fs_pwrite(*fd, text + INFO_HEAD, len - INFO_HEAD,
		    INFO_HEAD, NULL, e);
""")),
    Bug("hidden-upload-is-seen-before-its-bytes", ("K",), (NEW, """
	rc = begin(u, info, e);
	if (rc != ERR_OK) {
		unmake(u);
		return rc;
	}
""", """
	rc = begin(u, info, e);
	if (rc == ERR_OK)
		rc = file_publish_new(
		    u, fs->durability == DURABILITY_FULL, e);
	if (rc != ERR_OK) {
		unmake(u);
		return rc;
	}
""")),
    Bug("hidden-upload-shown-without-data-flush", ("A",), (WRITE, """
	    ((rc = file_flush_bytes(u, e)) != ERR_OK ||
		(rc = file_flush_dir(u->store, e)) != ERR_OK))
		return rc;
	head.offset = durably""", """
	    (rc = file_flush_dir(u->store, e)) != ERR_OK)
		return rc;
	head.offset = durably""")),
    Bug("concat-names-the-record-first", ("K",), (NEW, """
	u = file_upload_of(*up);
	rc = append_parts(u, e);
""", """
	u = file_upload_of(*up);
	u->head.offset = u->head.size;
	u->head.finished = clock_now();
	rc = file_publish(u, fs->durability != DURABILITY_NONE, e);
	if (rc == ERR_OK)
		rc = append_parts(u, e);
""")),
    Bug("final-upload-is-seen-before-it-is-finished", ("K",), (NEW, """
	u = file_upload_of(*up);
	rc = append_parts(u, e);
""", """
	u = file_upload_of(*up);
	rc = append_parts(u, e);
	if (rc == ERR_OK)
		rc = file_publish(u, fs->durability != DURABILITY_NONE, e);
""")),
    Bug("record-named-before-its-bytes", ("F",), (WRITE, """
	if (durably &&
	    ((rc = file_flush_bytes(u, e)) != ERR_OK ||
		(rc = file_flush_dir(u->store, e)) != ERR_OK))
""", """
	if (durably && (rc = file_flush_bytes(u, e)) != ERR_OK)
"""), modes=["data"]),
    Bug("finish-without-data-flush", ("A", "P"), (WRITE, FLUSH_DATA, """
	(void)rc;
	return file_flush_dir(u->store, e);
""")),
    # ext4 and XFS write the name down with the bytes; nobody promised that.
    Bug("finish-without-directory-flush", ("A",), (WRITE, FLUSH_DATA, """
	(void)rc;
	return file_flush_bytes(u, e);
""")),
    Bug("finish-without-record-flush", ("A", "P"), (WRITE, """
	if ((rc = file_set_durably(u, &head, e)) != ERR_OK)
		return rc;
	/* The other pending""", """
	if ((rc = file_set(u, &head, e)) != ERR_OK)
		return rc;
	/* The other pending""")),
    Bug("checkpoint-without-data-flush", ("A", "P"), (DOUBT, CHECKPOINT, """
	    false)
		return rc;
	head.offset = u->data_size;
	return file_set_durably(u, &head, e);
"""), modes=["full"]),
    Bug("checkpoint-without-record-flush", ("A",), (DOUBT, CHECKPOINT, """
	    (rc = file_flush_bytes(u, e)) != ERR_OK)
		return rc;
	head.offset = u->data_size;
	return file_set(u, &head, e);
"""), modes=["full"]),
    Bug("watermark-before-flush", ("A",), (DOUBT, CHECKPOINT, """
	    false)
		return rc;
	head.offset = u->data_size;
	if ((rc = file_set_durably(u, &head, e)) != ERR_OK)
		return rc;
	return file_flush_bytes(u, e);
""")),
    Bug("declaration-raises-the-watermark", ("A",), (WRITE, """
	head.size = u->base.info.size_deferred ? 0 : u->base.info.size;
""", """
	head.size = u->base.info.size_deferred ? 0 : u->base.info.size;
	head.offset = u->data_size;
""")),
    Bug("no-watermark", ("A",), (OPEN, """
	if ((rc = file_cut(u, head.offset, e)) != ERR_OK)
		return rc;
""", """
	(void)rc;
"""), (OPEN, """
	if (file_has_watermark(u) &&
	    ((u->store->base.is_shared && !u->is_claimed) ||
		!is_of_this_boot(u)))
		n = smaller(n, h->offset);
""", "")),
    Bug("watermark-lowered-without-flush", ("A", "P"), (WRITE, ROLL_BACK, """
		rc = file_set(u, &head, e);
""")),
    Bug("doubt-ended-without-flush", ("A-eio",), (DOUBT, """
	if ((rc = file_set_durably(u, &head, e)) != ERR_OK ||
	    (rc = file_cut""", """
	if ((rc = file_cut""")),
    Bug("doubt-not-written-down", ("A-eio-twice", "A-eio-uncut"), (DOUBT, """
	memcpy(head.boot, INFO_DOUBT, sizeof(head.boot));
	if (write_head""", """
	if (write_head""")),
    Bug("doubt-not-remembered", ("A-eio-unmarked",), (DOUBT, """
	file_remember(u->base.info.id, head.offset);
""", "")),
    Bug("doubtful-bytes-flushed-again", ("A-eio-uncut",), (DOUBT, """
	if ((rc = file_check_doubt(u, e)) != ERR_OK ||
	    (rc = file_flush_bytes(u, e)) != ERR_OK)
""", """
	if ((rc = file_flush_bytes(u, e)) != ERR_OK)
"""), (WRITE, """
	if (rc == ERR_OK)
		rc = file_check_doubt(u, e);
	u->start""", """
	u->start"""), (WRITE, """
	if ((rc = file_check_doubt(u, e)) != ERR_OK)
		return rc;
	if (u->foreign""", """
	if (u->foreign"""), modes=["full"]),
    Bug("adoption-flushed-again", ("A-eio",), (DOUBT, """
	if (durably && (rc = file_flush_bytes(u, e)) != ERR_OK)
""", """
	if (durably && (rc = file_flush_data(u, e)) != ERR_OK)
""")),
    Bug("missing-bytes-not-written-down", ("A-cut",), (OPEN, """
	head.offset = u->data_size;
	return file_set_durably(u, &head, e);
""", """
	u->head.offset = u->data_size;
	return ERR_OK;
""")),
    Bug("head-put-back-with-its-hold", ("A-eio",), (DOUBT, PUT_BACK, """
	(void)!file_set(u, &before, &ignored);
	return rc;
""")),
    Bug("head-not-put-back", ("A-eio",), (DOUBT, PUT_BACK, """
	(void)before;
	(void)ignored;
	return rc;
"""), modes=["full"]),
    Bug("failed-flush-believed", ("A-eio",), (DOUBT, """
	if (rc != ERR_OK)
		file_give_up(u);
""", "")),
    Bug("pending-written-after-the-finish", ("K",), (WRITE, """
	rc = finish(u, pending, e);
	file_see(u);
""", """
	struct info_head head;

	rc = finish(u, 0, e);
	head = u->head;
	head.pending = pending;
	if (rc == ERR_OK)
		rc = file_set(u, &head, e);
	file_see(u);
""")),
    Bug("data-rolled-back-after-the-end", ("A-eio",), (WRITE, """
	rc = finish(u, pending, e);
	file_see(u);
""", """
	struct err ignored;

	rc = finish(u, pending, e);
	if (rc != ERR_OK)
		(void)!fs_truncate(
		    u->data_fd, u->head.offset, "data", &ignored);
	file_see(u);
""")),
    Bug("boot-entered-before-the-cut", ("K-recover",), (OPEN, NEW_BOOT, """
	int64_t to = head.offset;

	head.offset = u->head.offset;
	head.hold = -1;
	memcpy(head.boot, u->store->boot, sizeof(head.boot));
	if ((rc = file_set(u, &head, e)) != ERR_OK)
		return rc;
	return file_cut(u, to, e);
""")),
    Bug("hold-not-set", ("K",), (WRITE, HOLD, """
	(void)head;
	(void)rc;
	u->on_probation = false;
	return append_waiting(u, e);
""")),
    Bug("hold-set-after-the-bytes", ("K",), (WRITE, HOLD, """
	head.hold = u->start;
	if ((rc = append_waiting(u, e)) != ERR_OK)
		return rc;
	return file_set(u, &head, e);
""")),
    Bug("hold-not-lifted", ("K",), (OPEN, """
	if (head.hold == -1)
		return ERR_OK;
""", """
	return ERR_OK;
""")),
    Bug("hold-ignored-without-watermark", ("K",), (OPEN, """
	if (!u->foreign && (rc = lift_hold(u, e)) != ERR_OK)
""", """
	if (file_has_watermark(u) && (rc = lift_hold(u, e)) != ERR_OK)
"""), modes=["none"]),
    Bug("checkpoint-inside-a-hold", ("K", "A"), (WRITE, """
	if (u->store->durability == DURABILITY_NONE || !file_has_watermark(u) ||
	    u->head.hold != -1)
""", """
	if (u->store->durability == DURABILITY_NONE || !file_has_watermark(u))
""")),
    Bug("adopted-without-flush", ("A",), (DOUBT, """
	if (durably && (rc = file_flush_bytes(u, e)) != ERR_OK)
		return rc;
""", "")),
    Bug("deletion-not-flushed", ("A", "P"), (NEW, """
	if (rc == ERR_OK && u->store->durability == DURABILITY_FULL)
		rc = file_flush_dir(u->store, e);
""", ""), modes=["full"]),
    Bug("creation-not-flushed", ("A", "P"), (NEW, """
	rc = file_publish_new(u, fs->durability == DURABILITY_FULL, e);
""", """
	(void)fs;
	rc = file_publish_new(u, false, e);
"""), modes=["full"]),
    Bug("adoption-not-flushed", ("A",), (DOUBT, """
	rc = file_publish(u, durably, e);
""", """
	rc = file_publish(u, false, e);
"""), modes=["full"]),
    Bug("entered-after-the-upload", ("K-quota",), (LEDGER, """
	rc = fs_create_at(
	    dir, entry->name, FS_LOCK_MODE(fs->mode), &entry->file, e);
	if (rc != ERR_OK)
		return rc;
	if (file_lock(fs, entry->file))
""", """
	(void)fs;
	(void)rc;
	entry->file = dup(dir);
	if (entry->file != -1)
"""), (LEDGER, """
	if (!is_made)
		(void)!strike_known(
		    &entry->page, entry->name, entry->bytes, &ignored);
""", """
	(void)ignored;
	if (is_made)
		(void)close(openat(entry->page.dir, entry->name,
		    O_WRONLY | O_CREAT, 0600));
""")),
    Bug("sum-written-afterwards", ("K-quota",), (LEDGER, """
	rc = page_raise_sum(p, &sum, e);
	if (rc == ERR_OK)
		rc = write_entry(fs, entry, e);
""", """
	rc = write_entry(fs, entry, e);
"""), (LEDGER, """
	if (room > t.own)
		rc = page_raise_sum(p, &sum, e);
	if (rc == ERR_OK)
		rc = rewrite(fs, p->dir, need->id, t.own, room, e);
""", """
	rc = rewrite(fs, p->dir, need->id, t.own, room, e);
""")),
    Bug("struck-out-before-it-is-removed", ("K-quota",), (NEW, """
	enum err_code rc = file_mark_gone(u, e);

	if (rc == ERR_OK)
		rc = remove_files(u, e);
""", """
	enum err_code rc = file_release(up, e);

	if (rc == ERR_OK)
		rc = remove_files(u, e);
""")),
    Bug("resized-in-two-steps", ("K-quota",), (LEDGER, """
	if (from >= 0)
		return fs_rename_at(dir, old, new, e);
""", """
	if (from >= 0)
		(void)!fs_unlink_at(dir, old, e);
""")),
    Bug("dead-entries-stay", ("K-quota",), (LEDGER, """
	if (rc == ERR_OK && !has)
		rc = fs_unlink_at(dir, name, e);
""", "")),
    Bug("one-flush-too-many", ("F",), (WRITE, FLUSH_DATA, """
	if ((rc = file_flush_bytes(u, e)) != ERR_OK ||
	    (rc = file_flush_info(u, e)) != ERR_OK)
		return rc;
	return file_flush_dir(u->store, e);
""")),
    Bug("failed-cut-ignored", ("E",), (BYTES, """
	rc = fs_truncate(u->data_fd, to, u->base.info.id, e);
	if (rc == ERR_OK)
		u->data_size = to;
	return file_judge(u, rc, e);
""", """
	(void)rc;
	(void)!fs_truncate(u->data_fd, to, u->base.info.id, e);
	u->data_size = to;
	return ERR_OK;
""")),
    Bug("failed-write-ignored", ("E",), (WRITE, """
	u->data_size += (int64_t)done;
	u->base.info.offset = u->data_size;
	return rc;
""", """
	(void)rc;
	u->data_size += (int64_t)len;
	u->base.info.offset = u->data_size;
	return ERR_OK;
""")),
    Bug("failed-flush-ignored", ("E",), (RECORD, """
		rc = fs_sync_data(u->data_fd, u->base.info.id, e);
	return file_judge(u, rc, e);
""", """
		(void)!fs_sync_data(u->data_fd, u->base.info.id, e);
	return ERR_OK;
"""), modes=["data"]),
    Bug("failed-rename-ignored", ("E",), (RECORD, """
		rc = fs_rename_at(fs->dirfd, from.text, to.text, e);
""", """
		(void)!fs_rename_at(fs->dirfd, from.text, to.text, e);
""")),
    Bug("failed-creation-left-behind", ("E",), (RECORD, """
	(void)!fs_unlink_at(fs->dirfd, name, &ignored);
""", """
	(void)ignored;
"""), modes=["data"]),
    Bug("move-written-down-afterwards", ("K-near",), (MOVE, GO_BY, """
	if (!m->is_copied && !m->must_copy) {
		rc = rename_it(m, name, e);
		if (rc == ERR_OK)
			rc = write_down(m, name, e);
""")),
    Bug("copy-not-written-down", ("K-far",), (MOVE, COPIED, """
		if ((rc = copy(m, e)) != ERR_OK)
			return rc;
""")),
    Bug("original-gone-before-the-copy-has-its-name", ("K-far",), (
        MOVE, COPIED, """
		if ((rc = copy(m, e)) != ERR_OK ||
		    (rc = write_down(m, name, e)) != ERR_OK ||
		    (rc = file_remove_bytes(m->u, e)) != ERR_OK)
			return rc;
""")),
    Bug("copy-named-before-it-is-whole", ("K-far",), (MOVE, COPIED, """
		m->copy = name;
		if ((rc = copy(m, e)) != ERR_OK ||
		    (rc = write_down(m, name, e)) != ERR_OK)
			return rc;
		return ERR_OK;
""")),
    Bug("move-over-what-is-there", ("K-near",), (MOVE, """
		if (fstatat(m->dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
""", """
		if (fstatat(m->dirfd, "none", &st, AT_SYMLINK_NOFOLLOW) == 0)
"""), ("base/fs.c", "to_dir, to, RENAME_NOREPLACE);", "to_dir, to, 0);")),
    Bug("copy-not-flushed", ("F-far", "P-far"), (MOVE, FLUSH_COPY, "")),
    Bug("failed-flush-of-a-copy-ignored", ("E-far",), (MOVE, FLUSH_COPY, """
	if (rc == ERR_OK)
		(void)!fs_sync(fd, m->copy, e);
""")),
    Bug("failed-copy-left-behind", ("E-far",), (MOVE, """
		take_back(&m);
""", """
		(void)take_back;
""")),
    Bug("half-a-copy-not-removed", ("K-far",), (MOVE, """
	rc = fs_unlink_at(m->dirfd, m->copy, e);
	if (*arrived) {
""", """
	if (*arrived) {
"""), (BYTES, """
	if ((rc = fs_unlink_at(dirfd, name, e)) != ERR_OK)
		return rc;
	return fs_create_at(dirfd, name, fs->mode, fd, e);
""", """
	return fs_create_at(dirfd, name, fs->mode, fd, e);
""")),
    Bug("descriptor-leaked-on-error", ("E",), (RECORD, """
	(void)close(*fd);
	(void)!fs_unlink_at(fs->dirfd, name, &ignored);
""", """
	(void)!fs_unlink_at(fs->dirfd, name, &ignored);
""")),
    Bug("failed-start-of-a-flush-ignored", ("E",), (WRITE, """
	if (rc != ERR_OK)
		file_give_up(u);
	return rc;
}

/* Do the flushes that are due""", """
	return ERR_OK;
}

/* Do the flushes that are due"""), modes=["data"]),
    # A shared store: what a removal that died leaves is found in one sweep,
    # whatever comes first in the directory.
    Bug("shared-removal-leaves-the-note-of-a-move", ("K-near",), (KEEP, """
	else if (rc == ERR_OK && was_to_go(fs, id, a))
		*what = "move of an upload that was to go";
""", ""), modes=["shared"]),
    # The mark of a removal would be taken for a head of another boot.
    Bug("shared-mark-is-no-head", ("K",), (INFO, """
	    strcmp(h->boot, INFO_GONE) != 0)
""", """
	    true)
"""), modes=["shared"]),
]


def find(name):
    for bug in BUGS:
        if bug.name == name:
            return bug
    raise SystemExit(f"no such bug: {name}")

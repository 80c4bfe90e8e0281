/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The records in the state directory: of a disk, a layer, a session, a promised release, and a file
 * that is being made elsewhere.
 *
 * A record is a plain struct that mirrors its file. Loading validates everything: ids, names, sizes
 * and texts may come from a torn write or from somebody's editor. -EBADMSG: the file is there and
 * cannot be trusted; -ENOENT: it is not there. Saving replaces the file and syncs, but for
 * sessions; before, it asks the guard of the state directory's lock (NULL: none), and fails as that
 * does. All of that blocks for the medium. A loaded record owns its texts: record_clear_...()
 * frees them.
 */
#ifndef REVERTFS_DURABLE_RECORD_H
#define REVERTFS_DURABLE_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "guard.h"
#include "util.h"

#define LAYER_ID_SIZE 17 /* 16 hexadecimal digits */
#define UUID_SIZE 37     /* 8-4-4-4-12 */
#define DOMAIN_SIZE 512  /* a domain's name, for people */
#define TARGET_SIZE 64   /* vda */
#define TOKEN_SIZE 128   /* a version of a domain's file (domain_file.h) */
#define BOOT_ID_SIZE 37
#define SNAPSHOT_NAME_MAX 128 /* bytes in a snapshot's name */
#define SNAPSHOT_FILE_SIZE 1024
#define NOTE_SIZE 256       /* why somebody committed */
#define IDENTITY_SIZE 384   /* of a file, as text */
#define LAYER_NAMES_MAX 256 /* names that one layer may have */

/*
 * What becomes of the data in a scratch when its session is over. To seal it aside is to make a
 * named layer of it; the head stays.
 */
enum fate {
	FATE_DISCARD,     /* discarded */
	FATE_LEFTOVER,    /* leftover=keep: sealed aside when the host has crashed */
	FATE_ARMED,       /* the session was to be committed: sealed aside when that cannot be done */
	FATE_UNCOMMITTED, /* a commit failed: sealed aside at the next prepare */
	FATE_UNHOOKED,    /* written without a session: sealed aside at the next prepare */
	FATE_UNDECIDED,   /* kept in case a restore follows the session's end; else discarded or sealed aside */
	FATE_SNAPSHOT,    /* a revert to a libvirt snapshot has begun: kept for the prepare that follows at once */
	/*
	 * Whether it was to be committed, the domain's file says, which the next prepare has
	 * read: then it is sealed aside.
	 */
	FATE_EDITED,   /* the file was edited in the session, and what there was by then has been synced */
	FATE_UNSYNCED, /* the host crashed in the session, and the file may have been edited: never synced */
};

struct disk_record {
	char head[LAYER_ID_SIZE];
	char hold[LAYER_ID_SIZE]; /* "" when there is none */
	char hold_uuid[UUID_SIZE];
	char hold_domain[DOMAIN_SIZE];
	bool hold_managed; /* by `virsh managedsave`: needed only as long as libvirt has DOMAIN.save */
	enum fate fate;
	char fate_uuid[UUID_SIZE]; /* the domain of that session; "" for none */
	bool fate_armed;           /* FATE_UNDECIDED: seal aside rather than reset */
	bool fate_unread;          /* the same, for it may have been armed: the domain's file could not be read */
	bool fate_clean;           /* its guest was shut down, and nobody wrote since */
	/* FATE_UNDECIDED: the external snapshot that its domain went on with; it stands on this. */
	char snapshot_file[SNAPSHOT_FILE_SIZE];
	bool fate_torn; /* FATE_UNSYNCED: qemu-img found errors in it */
	time_t fate_since;
	uint64_t contents;         /* of the root, which a scratch that is to be kept stands on */
	bool commit_at_release;    /* `commit NAME at=release` */
	char consumed[TOKEN_SIZE]; /* the version of the domain's file whose one-shot-commit is used up */
	/*
	 * The domain whose one-shot-commit could not be read when its last session ended here, or
	 * was set when that ended on an external snapshot: what its file says was meant for that
	 * one. "" for none.
	 */
	char unread_uuid[UUID_SIZE];
	char unread_target[TARGET_SIZE]; /* the disk in that domain */
	uint64_t keep_revisions;
	bool domain_revisions_set; /* the domain's JSON has a keep-revisions of its own, which counts: */
	uint64_t domain_revisions;
	bool leftover_keep;
	bool strict;
	bool keeps_data; /* it does not revert: `set NAME reverts=no` */
	char *origin;    /* of a clone: the disk it was made from; set once, owned by struct disk; NULL: no clone */
	bool follow;     /* a clone that takes the origin's new head at its next start, until its own first commit */
};

enum layer_state { LAYER_SEALED, LAYER_FOLDING };
enum image_format { FORMAT_RAW, FORMAT_QCOW2 };

/* Why nothing is folded into an image. */
enum image_trouble {
	TROUBLE_NONE,
	TROUBLE_CORRUPT, /* QEMU has marked it so */
	TROUBLE_BITMAP,  /* it had a bitmap in use when it was protected, or last changed outside the mount */
};

/*
 * What a real image looked like when revertfs last used it, to see changes outside the mount. The
 * identity proves that it is the same file (file_identity.h); it is "" in records of builds that
 * had none, and where the filesystem has nothing of the kind.
 */
struct image_stamp {
	uint64_t device, inode, size;
	struct timespec modified;
	char identity[IDENTITY_SIZE];
};

/* A snapshot: a disk's name for a layer. Clones share layers, and each has names of its own. */
struct layer_name {
	char *disk;
	char *snapshot;
};

struct layer_record {
	char id[LAYER_ID_SIZE];
	char parent[LAYER_ID_SIZE]; /* "" for a root */
	char *image;                /* a root's file beneath the images directory; NULL: layers/ID.qcow2 */
	enum image_format format;
	enum layer_state state;
	uint64_t virtual_size;
	time_t created;
	struct image_stamp stamp;   /* of a root */
	uint64_t contents;          /* of a root: how many times another content was taken for its image */
	enum image_trouble trouble; /* of a root */
	struct layer_name *names;
	size_t name_count;
	bool becomes_head;             /* sealed to be the head: start-up completes that after a crash */
	char domain[DOMAIN_SIZE];      /* the domain whose session made it; "" when a command did */
	char note[NOTE_SIZE];          /* why, in the administrator's words */
	char consistency[TARGET_SIZE]; /* "clean", "crash-consistent" or "quiesced" */
};

struct session_record {
	char uuid[UUID_SIZE];
	char domain[DOMAIN_SIZE];
	char target[TARGET_SIZE];
	char *source; /* the path in the domain's XML */
	char boot[BOOT_ID_SIZE];
	uint64_t mount; /* id of the mount that the domain uses (handover_mount()) */
	time_t since;
	bool armed;
	char config[TOKEN_SIZE]; /* the version of the domain's file that it began with, or was told of since; or "" */
	bool is_watched;         /* that file is where the daemon finds it, so an edit is seen */
	bool keeps_leftover;     /* unarmed: what a crash of the host leaves is to be sealed aside */
	bool on_hold;            /* began on a hold, with a restored guest */
	bool continued;          /* began with a scratch that was kept */
	uint64_t contents;       /* of the root, which the session's scratch stands on */
};

/* What one disk gets in a release of several disks: a new head or hold. */
struct intent_entry {
	char *disk;
	char layer[LAYER_ID_SIZE];
	bool hold;
};

struct intent_record {
	char uuid[UUID_SIZE];
	char domain[DOMAIN_SIZE];
	bool managed;
	char consumed[TOKEN_SIZE];
	struct intent_entry *entries;
	size_t count;
};

/*
 * A file that is being made outside the state directory. When the daemon ends before the file is
 * finished, the next one removes what is left of it.
 */
struct output_record {
	char *directory;        /* absolute, free of symlinks; NULL: the images directory */
	char *name;             /* of the finished file; in the images directory it may have several components */
	char id[LAYER_ID_SIZE]; /* part of the temporary names */
	uint64_t inode;         /* of the finished file, noted before it gets its name; 0 earlier */
	enum image_format format;
};

int record_load_disk(int directory, const char *file, struct disk_record *ret_record);
int record_save_disk(struct guard *guard, int directory, const char *file, const struct disk_record *record);

/* No hold any more. */
void record_clear_hold(struct disk_record *record);

/* Forget that this domain's flag could not be read. */
void record_clear_unread(struct disk_record *record, const char *uuid);

int record_load_layer(int directory, const char *file, struct layer_record *ret_record);
int record_save_layer(struct guard *guard, int directory, const char *file, const struct layer_record *record);
void record_clear_layer(struct layer_record *record);

/*
 * Append a copy of a name; the caller has allocated room for it. After -ENOMEM the entry is
 * incomplete, and record_clear_layer() frees it.
 */
int record_append_name(struct layer_record *record, const char *disk, const char *snapshot);

int record_load_session(int directory, const char *file, struct session_record *ret_record);
int record_save_session(struct guard *guard, int directory, const char *file,
			const struct session_record *record); /* not synced */
int record_sync_session(struct guard *guard, int directory, const char *file,
			const struct session_record *record); /* the same, synced */
void record_clear_session(struct session_record *record);

int record_load_intent(int directory, const char *file, struct intent_record *ret_record);
int record_save_intent(struct guard *guard, int directory, const char *file, const struct intent_record *record);
void record_clear_intent(struct intent_record *record);

int record_load_output(int directory, const char *file, struct output_record *ret_record);
int record_save_output(struct guard *guard, int directory, const char *file, const struct output_record *record);
void record_clear_output(struct output_record *record);

/* 16 random hexadecimal digits. */
void record_new_id(char id[LAYER_ID_SIZE]);

/* Syntax checks, for what comes from outside. */
bool layer_id_is_valid(const char *id);
bool uuid_is_valid(const char *uuid);
bool snapshot_name_is_valid(const char *name); /* clean text without '/', 1 to SNAPSHOT_NAME_MAX bytes */

const char *format_name(enum image_format format);
int format_parse(const char *name, enum image_format *ret_format); /* -EINVAL */
const char *fate_name(enum fate fate);

/* How many of the last commits can be undone: keep-revisions, of the domain or else of the disk. */
uint64_t record_revisions(const struct disk_record *record);

#endif

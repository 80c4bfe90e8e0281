# SPDX-License-Identifier: GPL-2.0-or-later
#
# revertfs: build/revertfs (the daemon), build/revertfs-hook (what libvirt calls), build/revertctl (what people call).
#
#   make [all]        build all                       make demo       show it at work, in a minute (root)
#   make deps         install what building and       make check      all tests (root); T=mount/protect: one,
#                     running needs                                   KEEP=1: keep its directory, J=2: at a time
#   make deps-check   ... and what the tests need     make bench      compare with what it replaces; B=reset: one, ROUNDS=10
#   make install      DESTDIR PREFIX SYSCONFDIR       make lint       formatting and static checks
#   make uninstall    ... the same                    make deps-bench what the comparison needs
#   make clean        remove build/                   make format     apply the formatting
#                                                     make help       this text
#
# SAN=1 builds (and tests) under ASan and UBSan in build/san; WERROR=1, CC=clang, V=1 (commands shown), BUILD=DIR.

PREFIX     ?= /usr/local
BINDIR     ?= $(PREFIX)/bin
BASHDIR    ?= $(PREFIX)/share/bash-completion/completions
ZSHDIR     ?= $(PREFIX)/share/zsh/site-functions
DOCDIR     ?= $(PREFIX)/share/doc/revertfs
MANDIR     ?= $(PREFIX)/share/man
SYSCONFDIR ?= /etc
HOOKDIR    ?= $(SYSCONFDIR)/libvirt/hooks/qemu.d
UNITDIR    ?= $(or $(shell pkg-config --variable=systemdsystemunitdir systemd 2>/dev/null),/lib/systemd/system)

BUILD  ?= build$(if $(filter 1,$(SAN)),/san)
CFLAGS ?= -O2 -g
Q      := $(if $(filter 1,$(V)),,@)
say     = $(if $(filter 1,$(V)),,@printf '  %-7s %s\n' $(1) $(2))

# Asked when first needed, not when this file is read: `make deps demo` installs pkg-config on the way.
lazily   = $(eval $(1) := $(shell $(2)))$($(1))
LIBCFLAGS = $(call lazily,LIBCFLAGS,pkg-config --cflags fuse3 json-c libxml-2.0)
FS_LIBS   = $(call lazily,FS_LIBS,pkg-config --libs fuse3 json-c) -pthread
HOOK_LIBS = $(call lazily,HOOK_LIBS,pkg-config --libs libxml-2.0 json-c) -pthread

,      := ,
WARN   := -Wall -Wextra -Wshadow -Wvla -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition -Wformat=2 \
	-Wno-format-nonliteral 	-Wpointer-arith -Wundef -Wwrite-strings -Wimplicit-fallthrough -Wno-unused-parameter $(if $(filter 1,$(WERROR)),-Werror)
HARDEN := $(if $(filter 1,$(SAN)),-fsanitize=address$(,)undefined -fno-sanitize-recover=all -fno-omit-frame-pointer, \
	-fstack-protector-strong -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
ALL_CFLAGS = -std=gnu11 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -DFUSE_USE_VERSION=314 $(WARN) $(HARDEN) -fPIE -pthread \
	$(addprefix -iquote ,fs $(sort $(dir $(FS) $(HOOK) $(CTL) $(BOTH)) fs/ctl)) -MMD -MP $(LIBCFLAGS) $(CPPFLAGS) $(CFLAGS)
ALL_LDFLAGS = $(HARDEN) -pie -Wl,-z,relro,-z,now $(CFLAGS) $(LDFLAGS)

folders = $(wildcard $(patsubst %,fs/%/*.c,$(1)))
BASE   := $(call folders,base)
FS     := $(BASE) $(call folders,config kernel restart durable files qemu model jobs disk session export control mount daemon)
BOTH   := $(call folders,client libvirt policy)
HOOK   := $(wildcard hook/*.c)
CTL    := $(wildcard fs/ctl/*.c fs/ctl/*/*.c)
FAULT  := $(wildcard tests/fault/*.c)
UNIT   := $(patsubst tests/unit/%.c,$(BUILD)/unit/%,$(wildcard tests/unit/*.c))
TOOLS  := $(patsubst tests/tools/%.c,$(BUILD)/tools/%,$(wildcard tests/tools/*.c))
UNITS  := $(patsubst systemd/%.in,$(BUILD)/systemd/%,$(wildcard systemd/*.in))
MAN    := $(wildcard fs/*.[1-8] fs/*/*.[1-8] hook/*.[1-8])
obj     = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))
fobj    = $(patsubst %.c,$(BUILD)/obj/faults/%.o,$(1))

PROGRAMS := $(BUILD)/revertfs $(BUILD)/revertfs-hook $(BUILD)/revertctl
TESTED   := $(PROGRAMS) $(BUILD)/faults/revertfs $(UNIT) $(TOOLS)

all: $(PROGRAMS) $(UNITS)

$(BUILD)/revertfs: $(call obj,$(FS))
$(BUILD)/revertfs-hook: $(call obj,$(HOOK) $(BOTH) $(BASE))
$(BUILD)/revertctl: $(call obj,$(CTL) $(BOTH) $(BASE))
$(BUILD)/faults/revertfs: $(call fobj,$(FS) $(FAULT))
$(BUILD)/revertfs $(BUILD)/faults/revertfs: LIBS = $(FS_LIBS)
$(BUILD)/revertfs-hook $(BUILD)/revertctl: LIBS = $(HOOK_LIBS)
$(PROGRAMS) $(BUILD)/faults/revertfs:
	$(call say,LINK,$@)
	$(Q)mkdir -p $(@D) && $(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

# A unit test is one file; of the archives the linker takes what it refers to.
$(BUILD)/libfs.a: $(call obj,$(filter-out fs/daemon/main.c,$(FS)))
$(BUILD)/libhook.a: $(call obj,$(filter-out hook/main.c,$(HOOK) $(BOTH)))
$(BUILD)/libctl.a: $(call obj,$(filter-out fs/ctl/main.c,$(CTL)))
$(BUILD)/lib%.a:
	$(Q)rm -f $@ && $(AR) rcs $@ $^
$(BUILD)/unit/%: $(BUILD)/obj/tests/unit/%.o $(BUILD)/libctl.a $(BUILD)/libhook.a $(BUILD)/libfs.a
	$(call say,LINK,$@)
	$(Q)mkdir -p $(@D) && $(CC) $(ALL_LDFLAGS) -o $@ $^ $(FS_LIBS) $(HOOK_LIBS)

# What tests start beside the programs: one file each, but for the model.
$(BUILD)/tools/model: $(call obj,$(wildcard tests/model/*.c))
$(BUILD)/tools/%: $(BUILD)/obj/tests/tools/%.o
	$(call say,LINK,$@)
	$(Q)mkdir -p $(@D) && $(CC) $(ALL_LDFLAGS) -o $@ $^ $(FS_LIBS)

$(BUILD)/obj/faults/%.o: %.c | libs
	$(call say,CC,$<' (faults)')
	$(Q)mkdir -p $(@D) && $(CC) $(ALL_CFLAGS) -DREVERTFS_FAULTS -Itests/fault -c -o $@ $<
$(BUILD)/obj/%.o: %.c | libs
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(ALL_CFLAGS) -c -o $@ $<
# Made anew each time, since PREFIX may be another than the last time, but replaced only where it differs.
$(BUILD)/systemd/%: systemd/%.in FORCE
	$(Q)mkdir -p $(@D) && sed -e 's|@BINDIR@|$(BINDIR)|g; s|@SYSCONFDIR@|$(SYSCONFDIR)|g; s|@DOCDIR@|$(DOCDIR)|g' $< >$@.new
	$(Q)cmp -s $@.new $@ && rm $@.new || mv $@.new $@
FORCE:

libs:
	@.ci/deps libs
deps deps-check deps-bench:
	@.ci/deps $@
# Named in one command line, they come first, also under -j.
libs: $(filter deps deps-check deps-bench,$(MAKECMDGOALS))

check: $(TESTED) $(UNITS)
	$(Q)BUILD=$(abspath $(BUILD)) tests/run $(T)
demo: all
	$(Q)BUILD=$(abspath $(BUILD)) tests/demo
bench: all $(TOOLS)
	$(Q)BUILD=$(abspath $(BUILD)) tests/bench/run $(B)
lint format: deps-lint
	$(Q).ci/lint $@
deps-lint: $(filter deps deps-check,$(MAKECMDGOALS))

install: all
	install -D -m 755 $(BUILD)/revertfs $(DESTDIR)$(BINDIR)/revertfs
	install -D -m 755 $(BUILD)/revertctl $(DESTDIR)$(BINDIR)/revertctl
	install -D -m 755 $(BUILD)/revertfs-hook $(DESTDIR)$(HOOKDIR)/revertfs
	install -d -m 755 $(DESTDIR)$(SYSCONFDIR)/libvirt/hooks/config $(DESTDIR)$(SYSCONFDIR)/revertfs
	@$(foreach f,$(UNITS),install -D -m 644 $(f) $(DESTDIR)$(UNITDIR)/$(notdir $(f)) &&) :
	install -D -m 644 conf/revertctl.bash $(DESTDIR)$(BASHDIR)/revertctl
	install -D -m 644 conf/revertctl.zsh $(DESTDIR)$(ZSHDIR)/_revertctl
	@$(foreach f,$(wildcard README.md conf/*.json),install -D -m 644 $(f) $(DESTDIR)$(DOCDIR)/$(notdir $(f)) &&) :
	@$(foreach f,$(MAN),install -D -m 644 $(f) $(DESTDIR)$(MANDIR)/man$(subst .,,$(suffix $(f)))/$(notdir $(f)) &&) :
uninstall:
	rm -f $(DESTDIR)$(BINDIR)/revertfs $(DESTDIR)$(BINDIR)/revertctl $(DESTDIR)$(HOOKDIR)/revertfs $(patsubst $(BUILD)/systemd/%,$(DESTDIR)$(UNITDIR)/%,$(UNITS))
	rm -f $(foreach f,$(MAN),$(DESTDIR)$(MANDIR)/man$(subst .,,$(suffix $(f)))/$(notdir $(f)))
	rm -f $(DESTDIR)$(BASHDIR)/revertctl $(DESTDIR)$(ZSHDIR)/_revertctl
	rm -rf $(DESTDIR)$(DOCDIR)
clean:
	rm -rf build $(BUILD)
help:
	@sed -n '3,/^$$/s/^# \{0,1\}//p' Makefile

.PHONY: FORCE all libs deps deps-check deps-bench deps-lint check demo bench lint format install uninstall clean help
.SECONDARY:
.DELETE_ON_ERROR:
-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)

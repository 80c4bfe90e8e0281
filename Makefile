# SPDX-License-Identifier: GPL-2.0-or-later
#
# revertfs: build/revertfs (the daemon), build/revertfs-hook (what libvirt calls), build/revertctl (what people call).
#
#   make [all]        build all                       make demo       show it at work, in a minute (root)
#   make deps         install what building and       make check      all tests (root); T=mount/demo: one,
#                     running needs                                   KEEP=1: keep its directory, J=4: at a time
#   make deps-check   ... and what the tests need     make check-slow ... each step, seed and round of them, in hours
#   make install      DESTDIR PREFIX SYSCONFDIR       make bench      compare with what it replaces; B=reset: one, ROUNDS=10
#   make uninstall    ... the same                    make deps-bench what the comparison needs
#   make clean        remove build/                   make lint       formatting and static checks
#   make fuzz         what is fuzzed; T=control       make format     apply the formatting
#                     SECONDS=60: that, so long
#   make help         this text
#
# SAN=1 builds (and tests) under ASan and UBSan in build/san, SAN=thread under TSan in build/tsan; WERROR=1, CC=clang,
# V=1 (commands shown), BUILD=DIR.

PREFIX     ?= /usr/local
BINDIR     ?= $(PREFIX)/bin
BASHDIR    ?= $(PREFIX)/share/bash-completion/completions
ZSHDIR     ?= $(PREFIX)/share/zsh/site-functions
DOCDIR     ?= $(PREFIX)/share/doc/revertfs
MANDIR     ?= $(PREFIX)/share/man
SYSCONFDIR ?= /etc
HOOKDIR    ?= $(SYSCONFDIR)/libvirt/hooks/qemu.d
GENERATORDIR ?= $(or $(shell pkg-config --variable=systemdsystemgeneratordir systemd 2>/dev/null),/lib/systemd/system-generators)
UNITDIR    ?= $(or $(shell pkg-config --variable=systemdsystemunitdir systemd 2>/dev/null),/lib/systemd/system)

# The sanitizers of SAN=1, of SAN=thread, and of `make fuzz`; and where each of them builds.
SANITIZERS_1      := address,undefined
SANITIZERS_thread := thread
SANITIZERS_fuzz   := address,undefined,fuzzer-no-link
SANITIZERS        := $(SANITIZERS_$(SAN))
DIRECTORY_1       := /san
DIRECTORY_thread  := /tsan
DIRECTORY_fuzz    := /fuzz

BUILD  ?= build$(DIRECTORY_$(SAN))
CFLAGS ?= -O2 -g
Q      := $(if $(filter 1,$(V)),,@)
say     = $(if $(filter 1,$(V)),,@printf '  %-7s %s\n' $(1) $(2))

# pkg-config runs when its answer is first needed, not when this file is read: `make deps demo` installs it first.
lazily   = $(eval $(1) := $(shell $(2)))$($(1))
JSON_CFLAGS = $(call lazily,JSON_CFLAGS,pkg-config --cflags json-c)
FUSE_CFLAGS = $(call lazily,FUSE_CFLAGS,pkg-config --cflags fuse3)
XML_CFLAGS  = $(call lazily,XML_CFLAGS,pkg-config --cflags libxml-2.0)
FS_LIBS   = $(call lazily,FS_LIBS,pkg-config --libs fuse3 json-c) -pthread
HOOK_LIBS = $(call lazily,HOOK_LIBS,pkg-config --libs libxml-2.0 json-c) -pthread

,      := ,
WARN   := -Wall -Wextra -Wshadow -Wvla -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition -Wformat=2 \
	-Wno-format-nonliteral 	-Wpointer-arith -Wundef -Wwrite-strings -Wimplicit-fallthrough -Wno-unused-parameter $(if $(filter 1,$(WERROR)),-Werror)
HARDEN := $(if $(SANITIZERS),-fsanitize=$(SANITIZERS) -fno-sanitize-recover=all -fno-omit-frame-pointer, \
	-fstack-protector-strong -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
ALL_CFLAGS = -std=gnu11 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -DFUSE_USE_VERSION=314 $(WARN) $(HARDEN) -fPIE -pthread \
	-MMD -MP $(INCLUDES) $(CPPFLAGS) $(CFLAGS)
ALL_LDFLAGS = $(HARDEN) -pie -Wl,-z,relro,-z,now $(CFLAGS) $(LDFLAGS)

# The folders of each program, from the ground up. A file sees the headers of its own folder and of those before it, so
# that a call upwards does not compile; `make lint` finds calls without a header, by the objects. A folder does not see
# its PEERS.
DAEMON := base config kernel restart durable files qemu model jobs disk session export control mount daemon
SHARED := base client libvirt policy
HOOK   := $(SHARED) hook
CTL    := $(SHARED) config durable qemu $(addprefix ctl/,cli daemon libvirt live domain doctor) ctl
PEERS_export  := session
PEERS_libvirt := client
# The folders that see libfuse's headers, and those that see libxml2's.
SPEAK_FUSE := config mount daemon tests/tools
SPEAK_XML  := libvirt ctl/domain

where   = $(if $(filter hook,$(1)),hook,fs/$(1))
upto    = $(if $(1),$(firstword $(1)) $(if $(filter $(2),$(firstword $(1))),,$(call upto,$(wordlist 2,99,$(1)),$(2))))
program_of = $(if $(filter $(1),$(DAEMON)),$(DAEMON),$(if $(filter $(1),$(CTL)),$(CTL),$(if $(filter $(1),$(HOOK)),$(HOOK))))
# The folders that a folder sees, itself among them.
sees    = $(filter-out $(PEERS_$(1)),$(call upto,$(call program_of,$(1)),$(1)))
sources = $(wildcard $(addsuffix /*.c,$(call where,$(1))))
# The folder of a source file; that of a test is the folder it tests, that of the faults is durable.
folder  = $(patsubst tests/fault,durable,$(patsubst fs/%,%,$(patsubst tests/unit/%,%,$(patsubst %/,%,$(dir $(1))))))
INCLUDES = $(foreach f,$(call sees,$(call folder,$<)),-iquote $(call where,$(f))) $(JSON_CFLAGS) \
	$(if $(filter $(SPEAK_FUSE),$(call folder,$<)),$(FUSE_CFLAGS)) $(if $(filter $(SPEAK_XML),$(call folder,$<)),$(XML_CFLAGS)) \
	$(if $(filter tests/%,$<),-iquote tests/unit)

FOLDERS := $(sort $(DAEMON) $(CTL) $(HOOK))
UNIT   := $(patsubst tests/%.c,$(BUILD)/%,$(wildcard tests/unit/*/*.c tests/unit/*/*/*.c))
TOOLS  := $(patsubst tests/tools/%.c,$(BUILD)/tools/%,$(wildcard tests/tools/*.c))
UNITS  := $(patsubst systemd/%.in,$(BUILD)/systemd/%,$(wildcard systemd/*.in))
GENERATORS := $(patsubst systemd/%.in,$(BUILD)/systemd/%,$(wildcard systemd/generators/*.in))
MAN    := $(wildcard fs/*.[1-8] fs/*/*.[1-8] hook/*.[1-8])
obj     = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))
archive = $(patsubst %,$(BUILD)/lib/%.a,$(1))
reverse = $(if $(1),$(call reverse,$(wordlist 2,99,$(1))) $(firstword $(1)))

PROGRAMS := $(BUILD)/revertfs $(BUILD)/revertfs-hook $(BUILD)/revertctl
TESTED   := $(PROGRAMS) $(BUILD)/faults/revertfs $(UNIT) $(TOOLS)

all: $(PROGRAMS) $(UNITS) $(GENERATORS)

# A program is its main.c and the archives of its folders, from the top down: the linker takes only what is called.
$(BUILD)/revertfs: $(BUILD)/obj/fs/daemon/main.o $(call archive,$(call reverse,$(DAEMON)))
$(BUILD)/revertfs-hook: $(BUILD)/obj/hook/main.o $(call archive,$(call reverse,$(HOOK)))
$(BUILD)/revertctl: $(BUILD)/obj/fs/ctl/main.o $(call archive,$(call reverse,$(CTL)))
$(BUILD)/revertfs $(BUILD)/faults/revertfs: LIBS = $(FS_LIBS)
$(BUILD)/revertfs-hook $(BUILD)/revertctl: LIBS = $(HOOK_LIBS)
# The daemon for tests of failures: the same objects, but io.o is built with the fault seam, and tests/fault is added.
$(BUILD)/faults/revertfs: $(BUILD)/obj/fs/daemon/main.o $(BUILD)/obj/faults/io.o $(call obj,$(wildcard tests/fault/*.c)) \
		$(call archive,$(call reverse,$(DAEMON)))
$(PROGRAMS) $(BUILD)/faults/revertfs:
	$(call say,LINK,$@)
	$(Q)mkdir -p $(@D) && $(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

$(foreach f,$(FOLDERS),$(eval $(call archive,$(f)): $(call obj,$(filter-out %/main.c,$(call sources,$(f))))))
$(call archive,$(FOLDERS)):
	$(Q)mkdir -p $(@D) && rm -f $@ && $(AR) rcs $@ $^

# A unit test is one file. It is linked against the folder that it tests and those below, so that a module which needs
# one above does not link.
$(foreach u,$(UNIT),$(eval $(u): $(call archive,$(call reverse,$(call sees,$(call folder,$(u:$(BUILD)/%=tests/%.c)))))))
$(UNIT): $(BUILD)/%: $(BUILD)/obj/tests/%.o
	$(call say,LINK,$@)
	$(Q)mkdir -p $(@D) && $(CC) $(ALL_LDFLAGS) -o $@ $< $(filter %.a,$^) $(FS_LIBS) $(HOOK_LIBS)

# The checks of a folder's corpus.c on what libFuzzer makes of tests/fuzz. What it finds worth keeping is in
# build/fuzz/work/T/found, and beside it the inputs that break a check.
corpora   = $(wildcard tests/unit/*/corpus.c tests/unit/*/*/corpus.c)
fuzzed    = $(shell grep -l '^CORPUS.$(T),' $(corpora))
fuzz_dir  = tests/fuzz/$(shell sed -n 's/^CORPUS.$(T), "\([^"]*\)".*/\1/p' $(fuzzed))
fuzz_work = build/fuzz/work/$(T)
ifeq ($(T),)
fuzz:
	@echo "make fuzz T=NAME [SECONDS=60]:"
	@sed -n 's/^CORPUS(\([a-z0-9]*\), "[^"]*", \(.*\))$$/  \1 \2/p' $(corpora) | sort | tr _ ' '
else
fuzz:
	$(if $(fuzzed),,$(error nothing that is fuzzed is called '$(T)': make fuzz))
	$(Q)$(MAKE) --no-print-directory CC=clang SAN=fuzz BUILD=build/fuzz build/fuzz/targets/$(T)
	$(Q)mkdir -p $(fuzz_work)/found && WORK=$(abspath $(fuzz_work)) build/fuzz/targets/$(T) -max_total_time=$(or $(SECONDS),60) -timeout=20 \
		-close_fd_mask=3 -print_final_stats=1 -artifact_prefix=$(fuzz_work)/ $(fuzz_work)/found $(wildcard $(fuzz_dir))
endif
ifeq ($(SAN),fuzz)
$(BUILD)/targets/$(T): $(fuzzed) $(call archive,$(call reverse,$(call sees,$(call folder,$(fuzzed))))) FORCE
	$(call say,LINK,$@)
	$(Q)mkdir -p $(@D) && $(CC) $(filter-out -MMD -MP,$(ALL_CFLAGS)) -fsanitize=fuzzer -DFUZZ_KIND=$(T) -o $@ $< $(filter %.a,$^) \
		$(FS_LIBS) $(HOOK_LIBS)
endif

# Programs that tests start: one file each, but for the model. One runs in a box, where a sanitizer could not work.
$(BUILD)/obj/tests/tools/boxed.o $(BUILD)/tools/boxed: HARDEN :=
$(BUILD)/tools/model: $(call obj,$(wildcard tests/model/*.c))
$(BUILD)/tools/%: $(BUILD)/obj/tests/tools/%.o
	$(call say,LINK,$@)
	$(Q)mkdir -p $(@D) && $(CC) $(ALL_LDFLAGS) -o $@ $^ $(FS_LIBS)

$(BUILD)/obj/faults/io.o: fs/durable/io.c | libs
	$(call say,CC,$<' (faults)')
	$(Q)mkdir -p $(@D) && $(CC) $(ALL_CFLAGS) -c -o $@ $<
$(BUILD)/obj/faults/io.o $(BUILD)/obj/tests/fault/%.o: ALL_CFLAGS += -DREVERTFS_FAULTS
$(BUILD)/obj/%.o: %.c | libs
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(ALL_CFLAGS) -c -o $@ $<
# Made each time, since PREFIX may have changed, but replaced only where the text differs; tests run this side by side.
$(BUILD)/systemd/%: systemd/%.in FORCE
	$(Q)mkdir -p $(@D) && new=$@.$$$$ && sed -e 's|@BINDIR@|$(BINDIR)|g; s|@SYSCONFDIR@|$(SYSCONFDIR)|g; s|@DOCDIR@|$(DOCDIR)|g; s|@UNITDIR@|$(UNITDIR)|g' $< >$$new && \
		{ cmp -s $$new $@ && rm $$new || mv $$new $@; }
FORCE:

libs:
	@.ci/deps libs
deps deps-check deps-bench:
	@.ci/deps $@
# Where the command line names them beside other goals, they are made first, also under -j.
libs: $(filter deps deps-check deps-bench,$(MAKECMDGOALS))

# The long matrices whole, and more rounds, kills and seeds: hours.
check-slow: whole = STRIDE=1 ROUNDS=10 KILLS=500 SEEDS="$$(seq -s ' ' 40)" STEPS=20000 SECONDS_MAX=900 RUNS=1000 LIMIT=7200
check check-slow: $(TESTED) $(UNITS) $(GENERATORS)
	$(Q)$(whole) BUILD=$(abspath $(BUILD)) tests/run $(T)
demo: all
	$(Q)BUILD=$(abspath $(BUILD)) tests/demo
bench: all $(TOOLS)
	$(Q)BUILD=$(abspath $(BUILD)) tests/bench/run $(B)
lint: all
	$(Q).ci/lint lint
	$(Q)$(call layers,$(DAEMON)) && $(call layers,$(CTL)) && $(call layers,$(HOOK))
layers = .ci/layers $(BUILD)/obj "$(foreach f,$(1),$(foreach p,$(PEERS_$(f)),$(f):$(p)$(,)))" $(1)
format: deps-lint
	$(Q).ci/lint format
lint: deps-lint
deps-lint: $(filter deps deps-check,$(MAKECMDGOALS))

install: all
	install -D -m 755 $(BUILD)/revertfs $(DESTDIR)$(BINDIR)/revertfs
	install -D -m 755 $(BUILD)/revertctl $(DESTDIR)$(BINDIR)/revertctl
	install -D -m 755 $(BUILD)/revertfs-hook $(DESTDIR)$(HOOKDIR)/revertfs
	install -d -m 755 $(DESTDIR)$(SYSCONFDIR)/libvirt/hooks/config $(DESTDIR)$(SYSCONFDIR)/revertfs
	@$(foreach f,$(UNITS),install -D -m 644 $(f) $(DESTDIR)$(UNITDIR)/$(notdir $(f)) &&) :
	@$(foreach f,$(GENERATORS),install -D -m 755 $(f) $(DESTDIR)$(GENERATORDIR)/$(notdir $(f)) &&) :
	install -D -m 644 conf/revertctl.bash $(DESTDIR)$(BASHDIR)/revertctl
	install -D -m 644 conf/revertctl.zsh $(DESTDIR)$(ZSHDIR)/_revertctl
	@$(foreach f,$(wildcard README.md conf/*.json),install -D -m 644 $(f) $(DESTDIR)$(DOCDIR)/$(notdir $(f)) &&) :
	@$(foreach f,$(MAN),install -D -m 644 $(f) $(DESTDIR)$(MANDIR)/man$(subst .,,$(suffix $(f)))/$(notdir $(f)) &&) :
	$(if $(DESTDIR),,@$(BUILD)/revertctl doctor hook || :)
uninstall:
	rm -f $(DESTDIR)$(BINDIR)/revertfs $(DESTDIR)$(BINDIR)/revertctl $(DESTDIR)$(HOOKDIR)/revertfs $(patsubst $(BUILD)/systemd/%,$(DESTDIR)$(UNITDIR)/%,$(UNITS)) \
		$(patsubst $(BUILD)/systemd/generators/%,$(DESTDIR)$(GENERATORDIR)/%,$(GENERATORS))
	rm -f $(foreach f,$(MAN),$(DESTDIR)$(MANDIR)/man$(subst .,,$(suffix $(f)))/$(notdir $(f)))
	rm -f $(DESTDIR)$(BASHDIR)/revertctl $(DESTDIR)$(ZSHDIR)/_revertctl
	rm -rf $(DESTDIR)$(DOCDIR)
clean:
	rm -rf build $(BUILD)
help:
	@sed -n '3,/^$$/s/^# \{0,1\}//p' Makefile

.PHONY: FORCE all libs deps deps-check deps-bench deps-lint check check-slow demo bench fuzz lint format install uninstall clean help
.SECONDARY:
.DELETE_ON_ERROR:
-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)

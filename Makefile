# Builds zroot and installs it with all that belongs to it:
#
#     make && sudo make install
#     sudo make uninstall
#
# `make install PREFIX=$HOME/.local` needs no root. DESTDIR is put before every path, for packages.

PREFIX = /usr/local
DESTDIR =
EXECUTABLE = target/release/zroot
LICENCES = target/THIRD-PARTY-LICENCES

bindir = $(PREFIX)/bin
mandir = $(PREFIX)/share/man
datadir = $(PREFIX)/share/zroot
docdir = $(PREFIX)/share/doc/zroot
bashdir = $(PREFIX)/share/bash-completion/completions
zshdir = $(PREFIX)/share/zsh/site-functions
fishdir = $(PREFIX)/share/fish/vendor_completions.d

MANUALS = $(wildcard man/*.[1-9])
DOCUMENTS = README.md CHANGELOG.md LICENSE-MIT LICENSE-APACHE
# $(call paths,DIR,FILES)
paths = $(foreach file,$(2),$(DESTDIR)$(1)/$(notdir $(file)))

all:
	cargo build --release --locked
	packaging/licences >$(LICENCES)

# As root one does not build: it does not matter whose cargo is in PATH.
install:
	@for file in $(EXECUTABLE) $(LICENCES); do \
	    [ -e $$file ] || { echo "there is no $$file: run 'make' first" >&2; exit 1; }; \
	done
	install -d $(foreach dir,$(bindir) $(mandir)/man1 $(datadir) $(docdir) $(bashdir) $(zshdir) $(fishdir),'$(DESTDIR)$(dir)')
	install -m 755 $(EXECUTABLE) '$(DESTDIR)$(bindir)/zroot'
	ln -sf zroot '$(DESTDIR)$(bindir)/fakeroot-zroot'
	for page in $(MANUALS); do \
	    install -D -m 644 $$page '$(DESTDIR)$(mandir)'/man$${page##*.}/$${page##*/}; \
	done
	ln -sf zroot.1 '$(DESTDIR)$(mandir)/man1/fakeroot-zroot.1'
	install -m 644 completions/zroot.bash '$(DESTDIR)$(bashdir)/zroot'
	install -m 644 completions/_zroot '$(DESTDIR)$(zshdir)'
	install -m 644 completions/zroot.fish '$(DESTDIR)$(fishdir)'
	sed 's|@prefix@|$(PREFIX)|g' packaging/apparmor.in >'$(DESTDIR)$(datadir)/apparmor'
	sed 's|@prefix@|$(PREFIX)|g' packaging/register.in >'$(DESTDIR)$(datadir)/register'
	chmod 644 '$(DESTDIR)$(datadir)/apparmor'
	chmod 755 '$(DESTDIR)$(datadir)/register'
	install -m 644 $(DOCUMENTS) $(LICENCES) '$(DESTDIR)$(docdir)'
	@if [ -z '$(DESTDIR)' ] && [ "$$(id -u)" = 0 ]; then '$(datadir)/register' add; fi

uninstall:
	@if [ -z '$(DESTDIR)' ] && [ "$$(id -u)" = 0 ] && [ -e '$(datadir)/register' ]; then '$(datadir)/register' remove; fi
	rm -f $(foreach file,\
	    $(call paths,$(bindir),zroot fakeroot-zroot) \
	    $(foreach page,$(MANUALS),$(DESTDIR)$(mandir)/man$(subst .,,$(suffix $(page)))/$(notdir $(page))) \
	    $(call paths,$(mandir)/man1,fakeroot-zroot.1) \
	    $(call paths,$(bashdir),zroot) \
	    $(call paths,$(zshdir),_zroot) \
	    $(call paths,$(fishdir),zroot.fish) \
	    $(call paths,$(datadir),apparmor register) \
	    $(call paths,$(docdir),$(DOCUMENTS) $(LICENCES)),'$(file)')
	-rmdir '$(DESTDIR)$(datadir)' '$(DESTDIR)$(docdir)'

.PHONY: all install uninstall

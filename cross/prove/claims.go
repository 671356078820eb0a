package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"platen/cross/rig/leak"
)

// seen are the claims about where a model was, and was not.
func (p *proof) seen(clean, leaky *sights) []claim {
	h := p.h
	all := []claim{
		judged("files", "no file written since the start holds the model", len(clean.files.Hits) > 0,
			fmt.Sprintf("%d patterns, %d files, %d KiB%s", clean.patterns, clean.files.Files, clean.files.Bytes>>10, first(clean.files.Hits)),
			named(leaky.files.Hits, "leak-kept"), "a session that had a file open before it was confined: "+found(leaky.files.Hits, "leak-kept")),
		judged("logs", "no log holds it", named(clean.files.Hits, ".log"),
			fmt.Sprintf("%d bytes of logs", clean.logs), clean.logs > 0 && named(leaky.files.Hits, ".log"), "a session that logs what it reads: "+found(leaky.files.Hits, ".log")),
		judged("mqtt", "no MQTT byte holds it, as the broker sees them after TLS", len(clean.mqtt) > 0,
			fmt.Sprintf("%d bytes, %d frames%s", clean.sent, clean.frames, first(clean.mqtt)),
			clean.frames > 0 && len(leaky.mqtt) > 0, "an agent that pads its frames with it: "+kindsOf(leaky.mqtt)),
		p.deleted(clean, leaky), p.cores(clean, leaky), swap(clean, leaky),
		judged("agent", "the agent's memory never holds it during a print", len(clean.agent.hits) > 0,
			fmt.Sprintf("%d KiB%s", clean.agent.bytes>>10, spotted(clean.agent.hits)),
			clean.session.had() && len(leaky.session.hits) > 0 && len(leaky.agent.hits) > 0,
			fmt.Sprintf("the session has it at that moment (%d places: %s; %d KiB more of it are closed even to root), a leaking one as: %s; an agent that reads on: %s",
				len(clean.session.hits), kinds(clean.session.hits), clean.session.hidden>>10, kinds(leaky.session.hits), kinds(leaky.agent.hits))),
		judged("after", "no process holds it once the job has ended", len(clean.restHits) > 0,
			fmt.Sprintf("%d processes: %s%s", len(clean.rest), names(clean.rest), join(clean.restHits)),
			slices.ContainsFunc(leaky.restHits, func(s string) bool { return strings.HasPrefix(s, filepath.Base(h.leaky)) }),
			"an agent that keeps what it read: "+strings.Join(leaky.restHits, ", ")),
	}
	return append(all, standings(clean, leaky)...)
}

// deleted is the claim about blocks that belong to no file any more.
func (p *proof) deleted(clean, leaky *sights) claim {
	const what = "no block of the printer's file system holds it, deleted ones included"
	if p.h.image == "" {
		return claim{"blocks", what, p.h.noImage.Error(), "", notRun}
	}
	return judged("blocks", what, len(clean.deleted) > 0, fmt.Sprintf("an ext4 image of %d MiB, raw, after sync%s", imageSize>>20, first(clean.deleted)),
		len(leaky.deleted) > 0, "a session that writes to a file without a name: "+kindsOf(leaky.deleted))
}

// cores is the claim about cores.
func (p *proof) cores(clean, leaky *sights) claim {
	const what = "a crash leaves no core"
	pattern, err := os.ReadFile("/proc/sys/kernel/core_pattern")
	if text := strings.TrimSpace(string(pattern)); err != nil || strings.ContainsAny(text, "|/@") {
		return claim{"cores", what, "core_pattern sends cores elsewhere: " + text, "", notRun}
	}
	return judged("cores", what, clean.cores > 0 || len(clean.core) > 0,
		fmt.Sprintf("session and agent ended by SIGABRT in mid-print, no limit from outside, GOTRACEBACK=crash: %d cores", clean.cores),
		len(leaky.core) > 0, fmt.Sprintf("a session that is confined but for that leaves %d, with: %s", leaky.cores, kindsOf(leaky.core)))
}

// swap is the claim about memory that could reach swap: where there is none, nothing
// does; where there is, and wherever the session says that all of it is locked, every
// mapping that has something of the model must be.
func swap(clean, leaky *sights) claim {
	swaps, on := "no swap on this machine", false
	if text, err := os.ReadFile("/proc/swaps"); err != nil || strings.Count(string(text), "\n") > 1 {
		swaps, on = "swap is on", true
	}
	locked := "all its memory locked"
	allLocked := strings.Contains(clean.says, "all-locked")
	if !allLocked {
		locked = "its vault locked, and no right to lock the rest (LimitMEMLOCK=infinity gives it)"
	}
	const copied = "in hexadecimal" // which only the planted copy is
	return judged("swap", "no swap page holds it", clean.swapped > 0 || len(clean.loose) > 0 && (on || allLocked),
		fmt.Sprintf("%s, %d mappings with swapped pages; the session says: %s; it has it in %d places that can be read, %d of them in mappings that are locked, and in %d KiB of secret memory, which is never swapped",
			swaps, clean.swapped, locked, len(clean.session.hits), len(clean.session.hits)-len(clean.loose), clean.session.hidden>>10),
		clean.session.had() && strings.Contains(kinds(leaky.loose), copied),
		"a session that unlocks a copy: "+kinds(leaky.loose))
}

// standings are the claims about what /proc says of session and agent.
func standings(clean, leaky *sights) []claim {
	s, a := clean.state[0], clean.state[1]
	loose, looseAgent := leaky.state[0], leaky.state[1]
	return []claim{
		judged("confined", "/proc shows the session confined as claimed: no_new_privs, filter, no capability, no core, closed memory",
			!s.noNewPriv || !s.filtered || !s.caps || !s.core || s.peeks || landlocks() != strings.Contains(clean.says, "landlock"),
			fmt.Sprintf("%s; Landlock, which /proc does not show: %s, and it says it holds %s", s, word(landlocks(), "the kernel has it", "the kernel has none"), clean.says),
			loose.peeks && !loose.core, "a session that leaves out cores and memory: "+loose.String()),
		judged("agent-held", "and the agent: no_new_privs, filter, no core",
			!a.noNewPriv || !a.filtered || !a.core, a.String(), !looseAgent.core, "an agent that leaves it out: "+looseAgent.String()),
	}
}

// named reports whether something was found in a file whose name has part in it.
func named(hits []leak.Hit, part string) bool {
	return slices.ContainsFunc(hits, func(h leak.Hit) bool { return strings.Contains(filepath.Base(h.Path), part) })
}

// found says what was found in such files.
func found(hits []leak.Hit, part string) string {
	return kindsOf(slices.DeleteFunc(slices.Clone(hits), func(h leak.Hit) bool { return !strings.Contains(filepath.Base(h.Path), part) }))
}

// kindsOf says which encodings were found.
func kindsOf(hits []leak.Hit) string {
	var all []spot
	for _, h := range hits {
		all = append(all, spot{kind: h.Kind})
	}
	if len(all) == 0 {
		return "nothing"
	}
	return "found as " + kinds(all)
}

// first is the first of what should not be there.
func first(hits []leak.Hit) string {
	if len(hits) == 0 {
		return ""
	}
	return fmt.Sprintf(": FOUND %d times, first a %s at byte %d of %s", len(hits), hits[0].Kind, hits[0].Offset, hits[0].Path)
}

// spotted is what of memory should not be there.
func spotted(spots []spot) string {
	if len(spots) == 0 {
		return ""
	}
	return fmt.Sprintf(": FOUND %d times as %s, first in %q", len(spots), kinds(spots), spots[0].area.name)
}

// join says what processes should not have.
func join(hits []string) string {
	if len(hits) == 0 {
		return ""
	}
	return ": FOUND in " + strings.Join(hits, ", ")
}

// names lists each name once, sorted, up to eight of them.
func names(all []string) string {
	all = slices.Clone(all)
	slices.Sort(all)
	all = slices.Compact(all)
	if len(all) > 8 {
		return strings.Join(all[:8], ", ") + ", …"
	}
	return strings.Join(all, ", ")
}

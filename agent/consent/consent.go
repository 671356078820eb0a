// Package consent is what the owner has allowed to leave the printer: grants, signed
// by the owner's key.
//
// Start at [Grant]. Its [Grant.Text] is at once what the owner reads and, byte
// for byte, what the owner signs: a DSSE envelope around that text. [Open] accepts
// an envelope only if the owner's key signed it and its text is the very text the
// present catalogue gives; a [Store] keeps one grant a recipient, whose serial
// only rises, so that nobody but the owner can make, widen or renew one, and a
// revoked one does not come back. Every change is first an entry of the audit log.
//
// Requirements: no grant is in force that the owner did not sign for this printer
// and this recipient; a revocation holds from the moment it is asked for, on a full
// disk too; after a power cut at any point the store opens, and what it then holds
// is never more than the owner allowed; a directory that somebody has changed or put back
// brings back no grant but one that the log says is in force, and with an older log beside
// it, which the TPM tells, none at all.
//
// Layout: grant-<recipient>.json, one envelope each; state.json, the serials used up and
// how far that follows the log. Failures: a grant is logged, then its serial is used up,
// then it is put in force, so that a cut leaves too little; a revocation removes
// the grant first.
package consent

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"platen/agent/catalog"
	"platen/agent/evidence"
)

// Errors a caller branches on.
var (
	// ErrSignature reports an envelope that the owner's key did not sign.
	ErrSignature = errors.New("not signed by the owner's key")
	// ErrRecord reports a signed text that is not a grant this printer can read.
	ErrRecord = errors.New("not a grant")
	// ErrCatalogue reports a grant for items that have changed since; the owner
	// has to sign a new one.
	ErrCatalogue = errors.New("grant names items as they were in another catalogue: sign a new grant")
	// ErrTime reports a grant that is not yet or no longer in force.
	ErrTime = errors.New("grant is not in force now")
	// ErrPrinter reports a grant for another printer.
	ErrPrinter = errors.New("grant is for another printer")
	// ErrSerial reports a grant whose serial was used before: an old one, replayed.
	ErrSerial = errors.New("serial of the grant was used before: sign one with a higher serial")
)

// MaxName bounds a recipient's name in bytes.
const MaxName = 64

// Grant is what one recipient may be sent.
type Grant struct {
	Printer   evidence.PrinterID
	Recipient evidence.RecipientID
	Name      string // of the recipient, printable ASCII without quotes
	Profile   catalog.Profile
	Period    time.Duration // between two messages, whole seconds
	Items     []catalog.ID  // rising
	NotBefore time.Time     // UTC, whole seconds
	Expiry    time.Time     // UTC, whole seconds
	Serial    uint64        // rises with each grant for a recipient
	Catalogue [32]byte      // catalog.Digest of Items
}

// Terms is what a new grant is made of; see [New].
type Terms struct {
	Printer   evidence.PrinterID
	Recipient evidence.RecipientID
	Name      string
	Profile   catalog.Profile
	Period    time.Duration // zero means the profile's usual: 60 s for a vendor, 2 s for the owner, 1 s for service
	Items     []catalog.ID  // empty means everything the profile allows
	From      time.Time
	Life      time.Duration // zero means 365 days, or 24 hours under profile service
	Serial    uint64
}

// New makes a grant of the terms and of the present catalogue.
func New(t Terms) (Grant, error) {
	if t.Period == 0 {
		t.Period = usualPeriod(t.Profile)
	}
	if t.Life == 0 {
		t.Life = min(365*24*time.Hour, t.Profile.MaxLife())
	}
	if len(t.Items) == 0 {
		t.Items = catalog.Granted(t.Profile)
	}
	ids := slices.Clone(t.Items)
	slices.Sort(ids)
	digest, err := catalog.Digest(ids)
	if err != nil {
		return Grant{}, err
	}
	from := t.From.UTC().Truncate(time.Second)
	g := Grant{Printer: t.Printer, Recipient: t.Recipient, Name: t.Name, Profile: t.Profile, Period: t.Period,
		Items: slices.Compact(ids), NotBefore: from, Expiry: from.Add(t.Life.Truncate(time.Second)), Serial: t.Serial, Catalogue: digest}
	return g, g.Check()
}

func usualPeriod(p catalog.Profile) time.Duration {
	if p == catalog.Owner {
		return 2 * time.Second
	}
	return p.MinPeriod()
}

// Check reports what of the grant is against the rules of its profile, whoever
// signed it.
func (g Grant) Check() error {
	switch {
	case g.Profile.MinPeriod() == 0:
		return fmt.Errorf("%w: no profile", ErrRecord)
	case !printable(g.Name):
		return fmt.Errorf("%w: the recipient's name has to be 1 to %d printable ASCII characters without quotes", ErrRecord, MaxName)
	case g.Period < g.Profile.MinPeriod() || g.Period > 24*time.Hour || g.Period%time.Second != 0:
		return fmt.Errorf("%w: a period under profile %s is whole seconds, at least %v", ErrRecord, g.Profile, g.Profile.MinPeriod())
	case g.Serial == 0 || g.Serial > 1<<53:
		return fmt.Errorf("%w: serials start at 1", ErrRecord)
	case !g.Expiry.After(g.NotBefore) || g.Expiry.Sub(g.NotBefore) > g.Profile.MaxLife():
		return fmt.Errorf("%w: a grant under profile %s lasts at most %v", ErrRecord, g.Profile, g.Profile.MaxLife())
	case g.NotBefore.Nanosecond() != 0 || g.Expiry.Nanosecond() != 0 || !years(g.NotBefore) || !years(g.Expiry):
		return fmt.Errorf("%w: times are whole seconds of the years 2000 to 9999", ErrRecord)
	}
	return g.checkItems()
}

func (g Grant) checkItems() error {
	if len(g.Items) == 0 {
		return fmt.Errorf("%w: it names no item", ErrRecord)
	}
	for i, id := range g.Items {
		it, ok := catalog.Lookup(id)
		if !ok || it.Profiles&g.Profile == 0 || i > 0 && id <= g.Items[i-1] {
			return fmt.Errorf("%w: item %d is not in the catalogue, not allowed under profile %s, or out of order", ErrRecord, id, g.Profile)
		}
	}
	digest, err := catalog.Digest(g.Items)
	if err != nil {
		return err
	}
	if digest != g.Catalogue {
		return ErrCatalogue
	}
	return nil
}

// InForce reports an ErrTime if the grant is not in force at now.
func (g Grant) InForce(now time.Time) error {
	if now.Before(g.NotBefore) {
		return fmt.Errorf("%w: it begins at %s", ErrTime, g.NotBefore.Format(time.RFC3339))
	}
	if !now.Before(g.Expiry) {
		return fmt.Errorf("%w: it ended at %s", ErrTime, g.Expiry.Format(time.RFC3339))
	}
	return nil
}

func printable(s string) bool {
	if len(s) == 0 || len(s) > MaxName || s[0] == ' ' || s[len(s)-1] == ' ' {
		return false
	}
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' {
			return false
		}
	}
	return true
}

func years(t time.Time) bool { return t.Year() >= 2000 && t.Year() <= 9999 }

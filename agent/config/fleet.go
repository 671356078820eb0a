package config

import (
	"fmt"
	"strings"
)

// maxRecipients bounds the tables of recipients.
const maxRecipients = 8

// Fleets are [fleet], if there is one, and then every [[recipient]].
func (c *Config) Fleets() []*Fleet {
	var all []*Fleet
	if c.Fleet != nil {
		all = append(all, c.Fleet)
	}
	return append(all, c.Recipients...)
}

func (c *Config) checkFleets() error {
	if len(c.Recipients) > maxRecipients {
		return fmt.Errorf("more than %d tables [[recipient]]", maxRecipients)
	}
	if c.Fleet != nil && c.Fleet.Name != "" {
		return fmt.Errorf("fleet.name is for [[recipient]]: remove it")
	}
	seen := map[string]bool{}
	for _, f := range c.Recipients {
		if !label(f.Name) || seen[f.Name] {
			return fmt.Errorf("recipient.name %q: each [[recipient]] needs a name of its own, of at most 32 of a-z, 0-9 and \"-\"", f.Name)
		}
		seen[f.Name] = true
	}
	for _, f := range c.Fleets() {
		if err := f.check(); err != nil {
			return err
		}
	}
	return nil
}

func (f *Fleet) check() error {
	table := "fleet"
	if f.Name != "" {
		table = "recipient " + f.Name
	}
	switch {
	case f.Enrol == "":
		return fmt.Errorf("%s.enrol is missing", table)
	case f.CA == "":
		return fmt.Errorf("%s.ca is missing", table)
	case !strings.HasPrefix(f.Enrol, "https://"):
		return fmt.Errorf("%s.enrol is not an https URL", table)
	case len(f.ALPN) > 255:
		return fmt.Errorf("%s.alpn is over 255 bytes: no such protocol exists", table)
	}
	return nil
}

// label reports whether s can name a recipient, and a folder.
func label(s string) bool {
	return len(s) > 0 && len(s) <= 32 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

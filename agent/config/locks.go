package config

import (
	"errors"
	"strings"
)

// locks checks what a release needs beside its signatures, and where else it may be.
func (u *Update) locks(ownerKey string) (errs []error) {
	if u.Owner && ownerKey == "" {
		errs = append(errs, errors.New("update.owner asks for the owner's word, but owner_key is missing"))
	}
	if len(u.Witnesses) > 0 && u.LogKey == "" {
		errs = append(errs, errors.New("update.witnesses are of no log: log_key is missing"))
	}
	if u.Quorum < 0 || u.Quorum > len(u.Witnesses) || len(u.Witnesses) > 0 && u.Quorum == 0 {
		errs = append(errs, errors.New("update.quorum is not 1 to the number of witnesses"))
	}
	if len(u.Mirrors) > 8 {
		errs = append(errs, errors.New("update.mirrors are more than 8"))
	}
	for _, server := range u.NTP {
		if host, port, ok := strings.Cut(server, ":"); !ok || host == "" || port == "" {
			errs = append(errs, errors.New("update.ntp holds no \"host:port\", such as \"ntp.example.org:123\""))
		}
	}
	return errs
}

package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"platen/agent/uplink"
)

// renewEvery is how often the client certificate's age is looked at, and with that how
// often a fleet is asked that cannot be reached.
const renewEvery = time.Hour

// acmeFile holds the directory of the ACME server that certifies the client key.
const acmeFile = "acme.url"

// readACME reads it from the folder of an enrolment; "" if there is none.
func readACME(dir string) (string, error) {
	b, err := os.ReadFile(filepath.Join(dir, acmeFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("reading the enrolment: %w", err)
	}
	return string(b), nil
}

func (f *fleetLink) directory() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.acme
}

// renew keeps the client certificates of all fleets good, until ctx ends.
func (a *Agent) renew(ctx context.Context) error {
	a.keepRenewed(ctx, func(ctx context.Context, f *fleetLink) error {
		_, err := a.join(ctx, f, "", f.directory())
		return err
	})
	return nil
}

// keepRenewed asks for a new client certificate when a third of the old one's life is
// left, and goes on asking when it has ended: the fleet knows the printer by its TPM, not
// by a certificate. The printer goes on printing without one.
func (a *Agent) keepRenewed(ctx context.Context, join func(context.Context, *fleetLink) error) {
	for {
		for _, f := range a.fleets {
			if res := f.result(); res != nil && uplink.Due(*res, time.Now()) {
				if err := join(ctx, f); err != nil && ctx.Err() == nil {
					a.log.Warn("certificate not renewed", "fleet", f.cfg.Name, "error", err.Error())
				}
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(renewEvery):
		}
	}
}

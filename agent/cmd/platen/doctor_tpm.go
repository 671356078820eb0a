package main

import (
	"errors"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"platen/agent/attest"
	"platen/agent/cli"
	"platen/agent/confine"
)

// doctorTPM checks that the TPM is there, that this user may use it, and how it is: of one
// that the agent has open, the agent says that.
func doctorTPM(c *cobra.Command, path string) confine.Finding {
	f := confine.Finding{Name: "tpm", What: "is at " + path}
	err := unix.Access(strings.TrimPrefix(path, attest.SwtpmPrefix), unix.R_OK|unix.W_OK)
	switch {
	case errors.Is(err, unix.EACCES):
		f.Level, f.What, f.Remedy = confine.Fail, "this user may not open "+path, "add the user to the group of the device, usually tss"
		return f
	case err != nil:
		f.Level, f.What, f.Remedy = confine.Fail, "there is none at "+path, "enable the TPM in the device tree, or set tpm in the configuration"
		return f
	}
	st, err := statusOf(c.Context())
	if err == nil {
		if st.TPM != "" {
			f.Level, f.What, f.Remedy = confine.Fail, st.TPM, st.TPMRemedy
		}
		return f
	}
	if exit, ok := errors.AsType[*cli.ExitError](err); !ok || exit.Code != cli.ExitNotRunning {
		f.What += "; the agent does not say how it is"
		return f
	}
	h, err := attest.Look(path)
	if err != nil {
		f.Level, f.What, f.Remedy = confine.Fail, err.Error(), "switch the machine off and on; if it stays, see the kernel's log"
		return f
	}
	if list := h.Troubles(); len(list) > 0 {
		f.Level, f.What, f.Remedy = confine.Fail, list[0].What, list[0].Remedy
	}
	return f
}

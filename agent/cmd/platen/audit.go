package main

import (
	"errors"
	"os"

	"github.com/spf13/cobra"

	"platen/agent/cmd/auditcmd"
	"platen/agent/intake"
)

func auditCmd() *cobra.Command {
	c := &cobra.Command{
		Use:   "audit",
		Short: "Read the log of grants, jobs, updates, faults and refusals",
		Long: `The printer keeps a log of every grant, job, update, fault and refusal. Each entry holds the hash of the one
before it, and the TPM signs the end of the log and counts: what is changed, cut, forked or put back is noticed.
There are numbers and codes in it, and no design data.`,
	}
	c.AddCommand(auditExportCmd(), auditcmd.Verify())
	return c
}

func auditExportCmd() *cobra.Command {
	var nonce string
	c := &cobra.Command{
		Use: "export FILE", Short: "Write the log, signed to its end, to a new file", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return intoFile(c, args[0], intake.Request{Op: intake.OpAudit, Nonce: nonce})
		},
	}
	c.Flags().StringVar(&nonce, "nonce", "", "what is signed with it, a-z and 0-9: whoever chose it knows that the export is not an older one")
	return c
}

// intoFile has the agent write its answer to a request into a new file.
func intoFile(c *cobra.Command, path string, req intake.Request) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	r, err := ask(c.Context(), req, f, nil)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(refused(c, r, err), os.Remove(path))
	}
	return nil
}

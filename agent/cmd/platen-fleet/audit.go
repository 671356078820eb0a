package main

import (
	"github.com/spf13/cobra"

	"platen/agent/cmd/auditcmd"
)

func auditCmd() *cobra.Command {
	c := &cobra.Command{
		Use: "audit", Short: "Check a printer's log of grants, jobs, updates, faults and refusals",
		Long: `A printer exports its log with platen audit export. It is signed by its TPM, so whoever has the printer's id
can check it.`,
	}
	c.AddCommand(auditcmd.Verify())
	return c
}

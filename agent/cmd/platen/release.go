package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"platen/agent/consent"
	"platen/agent/intake"
)

func updateWaitingCmd() *cobra.Command {
	return &cobra.Command{
		Use: "waiting", Short: "Print the newest release, to be approved by the owner", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var text string
			r, err := ask(c.Context(), intake.Request{Op: intake.OpUpdateWaiting}, nil, func(r intake.Reply) { text = r.Text })
			if err != nil {
				return refused(c, r, err)
			}
			_, err = io.WriteString(c.OutOrStdout(), text)
			return err
		},
	}
}

func updateSignCmd() *cobra.Command {
	var key string
	c := &cobra.Command{
		Use: "sign RELEASE", Short: "Approve a release, anywhere; the approval goes to standard output", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			statement, err := os.ReadFile(args[0])
			if err != nil {
				return err
			}
			owner, err := consent.LoadKey(key)
			if err != nil {
				return err
			}
			approval, err := consent.SignRelease(statement, owner)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			_, err = c.OutOrStdout().Write(approval)
			return err
		},
	}
	c.Flags().StringVar(&key, "key", "", "the owner's private key")
	c.MarkFlagRequired("key")
	return c
}

func updateApproveCmd() *cobra.Command {
	return &cobra.Command{
		Use: "approve APPROVAL", Short: "Give the printer the owner's word on a release", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			approval, err := os.ReadFile(args[0])
			if err != nil {
				return err
			}
			r, err := ask(c.Context(), intake.Request{Op: intake.OpUpdateApprove, Envelope: approval}, nil, nil)
			return refused(c, r, err)
		},
	}
}

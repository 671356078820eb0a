package main

import (
	"github.com/spf13/cobra"

	"platen/agent"
	"platen/hal/flash"
)

func controllerAcceptCmd(o *controllerOptions) *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use:   "accept",
		Short: "Take the firmware that the controller has now for right",
		Args:  cobra.NoArgs,
		Long: `Take the firmware that the controller has now for right, after somebody has flashed it by other means than
Platen: until then no print starts, and the fleet is told. What the controller says of itself when the agent
starts next is what it is held against from then on. Evidence goes on to say that it is not the image that was
flashed and read back last: only platen controller flash, or a release, changes that.`,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := o.fill(); err != nil {
				return err
			}
			if err := confirm(c, yes, "This takes whatever firmware the motion controller has for right."); err != nil {
				return err
			}
			claim, err := flash.Claim(c.Context(), o.state)
			if err != nil {
				return err
			}
			defer claim.Close() // only held
			return agent.AcceptController(o.state)
		},
	}
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return c
}

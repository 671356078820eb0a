package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"platen/agent"
	"platen/agent/attest"
	"platen/agent/cli"
	"platen/agent/config"
	"platen/agent/session"
	"platen/boards"
	"platen/hal/flash"
	"platen/updater/boot"
	"platen/updater/slot"
)

func runCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "run",
		Short: "Run the agent",
		Long: `Run the agent until it is told to stop. Exit code 75 asks the launcher to start the release that is
staged in the other slot.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := load()
			if err != nil {
				return err
			}
			err = agent.Run(c.Context(), cfg, logger())
			if errors.Is(err, agent.ErrLeft) {
				return nil
			}
			if errors.Is(err, agent.ErrRestart) {
				return &cli.ExitError{Code: boot.ExitRestart, Err: err}
			}
			return err
		},
	}
}

func bootCmd() *cobra.Command {
	var factory string
	c := &cobra.Command{
		Use:   "boot",
		Short: "Start the agent from its slot, and keep it running",
		Long: `Pick the slot that is to start, check it, measure it into PCR 14 of the TPM, and run the agent in it.
A release on trial that does not confirm itself falls back to the other slot.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := load()
			if err != nil {
				return err
			}
			if cfg.Update == nil {
				return errors.New("there are no slots: set [update] in the configuration, or use platen run")
			}
			if err := agent.Folders(cfg); err != nil {
				return err
			}
			log := logger()
			root, err := launchRoot(cfg)
			if err != nil { // the slots start all the same
				log.Error("root file systems are out of reach", "error", err.Error())
			}
			var restart func(context.Context, string) error
			if root != nil {
				restart = agent.Restart(cfg.Update.Rootfs)
			}
			return boot.Run(c.Context(), boot.LaunchConfig{
				Root: root, Reboot: restart, ConfirmTimeout: agent.ConfirmTime(cfg.Update.Controller != nil),
				Dir: cfg.Update.Slots, Factory: factory, Args: []string{"run", "--config", configPath},
				Stdout: os.Stdout, Stderr: os.Stderr, Logger: log,
				Measure: func(digest [32]byte, _ slot.Name) error {
					return measure(c.Context(), cfg.TPM, agent.RunDir(cfg), digest)
				},
			})
		},
	}
	c.Flags().StringVar(&factory, "factory", "", "binary to run if neither slot can")
	return c
}

// launchRoot is the pair of root file systems, nil if there is none.
func launchRoot(cfg *config.Config) (*boot.Root, error) {
	u := cfg.Update
	if u.Rootfs == nil {
		return nil, nil
	}
	dir, err := slot.OpenDir(u.Slots, "a", "b")
	if err != nil {
		return nil, err
	}
	return agent.OpenRoot(u.Rootfs, cfg.Sys, slot.NewLog(dir), u.Slots, cfg.State) // dir is open for as long as the launcher runs
}

// measure extends PCR 14 with the digest of the agent that is about to run. The
// launcher holds the TPM for that moment only. One that does not answer is asked a few times: an
// agent that was not measured has no keys until the board restarts.
func measure(ctx context.Context, path, runDir string, digest [32]byte) error {
	for left := 2; ; left-- {
		t, err := attest.New(ctx, attest.Config{Path: path, StateDir: runDir, Logger: logger()})
		if err == nil {
			return errors.Join(t.ExtendAgent(ctx, digest), t.Close())
		}
		if left == 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(time.Second):
		}
	}
}

func installCmd() *cobra.Command {
	var release uint64
	c := &cobra.Command{
		Use:   "install BINARY",
		Short: "Put a release into the first slot, as the factory does",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			cfg, err := load()
			if err != nil {
				return err
			}
			if cfg.Update == nil {
				return errors.New("there are no slots: set [update] in the configuration")
			}
			if err := ownState(cfg.State); err != nil {
				return err
			}
			return boot.Install(cfg.Update.Slots, args[0], release)
		},
	}
	c.Flags().Uint64Var(&release, "release", 0, "number of the release")
	return c
}

// ownState refuses to write what the agent, which runs as another user, could not.
func ownState(dir string) error {
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err == nil && int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("%s belongs to the user of the agent, who has to do this: sudo -u '#%d' platen …", dir, st.Uid)
	}
	return nil // if it is not there, whoever makes it owns it
}

// The descriptors that a session is started with, one after the other as far as there
// are any: its end of the seam, its door, and the board's watchdog.
const seamFD = 3

func sessionCmd() *cobra.Command {
	var cfg session.Config
	var board, sum, controller string
	var door, dog bool
	c := &cobra.Command{
		Use:    "session",
		Short:  "Be a session process; the agent starts these",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var st unix.Stat_t
			if unix.Fstat(seamFD, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFSOCK {
				return errors.New("a session is started by platen run, which gives it its end of the seam")
			}
			cfg.Seam, cfg.Logger = os.NewFile(seamFD, "seam"), logger()
			next := uintptr(seamFD + 1)
			if door {
				cfg.Door = os.NewFile(next, "door")
				next++
			}
			if dog {
				cfg.Watchdog = os.NewFile(next, "watchdog")
			}
			var err error
			if cfg.Board, err = boards.Open(board); err != nil {
				return err
			}
			if sum != "" && sum != hex.EncodeToString(cfg.Board.Sum[:]) {
				return errors.New("the board file has changed since the agent read it: restart the agent")
			}
			hold, err := flash.Drive(controller)
			if err != nil {
				return err
			}
			defer hold.Close() // ends with the process
			return session.Run(c.Context(), cfg)
		},
	}
	c.Flags().StringVar(&board, "board", "", "id of a board, or a board file")
	c.Flags().StringVar(&sum, "board-sum", "", "SHA-256 of the board file as the agent has read it")
	c.Flags().StringVar(&controller, "controller", "", "folder of the journal of controller updates")
	c.Flags().StringVar(&cfg.Device, "device", "", "serial device")
	c.Flags().Int64Var(&cfg.Vault, "vault", 64<<20, "bytes of locked memory")
	c.Flags().StringVar(&cfg.Sys, "sys", "/sys", "where sysfs is")
	c.Flags().StringVar(&cfg.Dev, "dev", "/dev", "where devices of pins are")
	c.Flags().StringVar(&cfg.Proc, "proc", "/proc", "where procfs is")
	c.Flags().BoolVar(&cfg.AllowSwap, "allow-swap", false, "take jobs although swap is on")
	c.Flags().StringVar(&cfg.Record, "record", "", "file for what is said at the serial port, without design data")
	c.Flags().BoolVar(&door, "door", false, "the next descriptor is the socket at which later agents come")
	c.Flags().BoolVar(&dog, "watchdog", false, "the next descriptor is the board's watchdog")
	return c
}

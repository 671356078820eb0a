// Package rig starts the real peers that Platen is tested and shown against:
// [StartSwtpm], a TPM with a maker's certificates, and [StartMosquitto], an MQTT
// broker; [Printcore] is the host of Debian's printrun, which prints a file. Each runs as a child in a folder of its own, keeps nothing outside that
// folder, listens on nothing but a unix socket or the loopback, and ends with
// [Swtpm.Stop], [Mosquitto.Stop] or the end of its context.
//
// Programs are taken from PATH and the system's folders, or else from a tree of
// unpacked Debian packages, build/tools beside go.mod. PLATEN_TOOLS names another
// such tree, which then goes before the system. A program found nowhere is an [ErrNoTool]. Tests use rigtest,
// which turns that into a skip at a desk and into a failure under CI.
package rig

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// ErrNoTool reports a program that was found nowhere.
type ErrNoTool struct {
	// Name is the program's name.
	Name string
}

// Error names the program and where it may come from.
func (e *ErrNoTool) Error() string {
	return fmt.Sprintf("%s is not installed: install it, or unpack its Debian package below build/tools", e.Name)
}

// ToolsDir is the folder of unpacked packages: PLATEN_TOOLS, or build/tools in the
// nearest parent folder that has a go.mod, or empty.
func ToolsDir() string {
	if dir := os.Getenv("PLATEN_TOOLS"); dir != "" {
		return dir
	}
	dir, err := os.Getwd()
	if err != nil {
		return ""
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return filepath.Join(dir, "build", "tools")
		}
		up := filepath.Dir(dir)
		if up == dir {
			return ""
		}
		dir = up
	}
}

// tool is a program and the environment it needs.
type tool struct {
	path string
	root string // of the unpacked packages; empty for an installed program
}

// folders that hold programs, below the root of a system or of unpacked packages.
var folders = []string{"usr/local/sbin", "usr/local/bin", "usr/sbin", "usr/bin", "sbin", "bin"}

// find looks for a program below PLATEN_TOOLS if that is set, on PATH, in the
// system's folders and in ToolsDir.
func find(name string) (tool, error) {
	var asked string
	if os.Getenv("PLATEN_TOOLS") != "" {
		asked = ToolsDir()
	}
	if t, ok := below(asked, name); ok {
		return t, nil
	}
	if path, err := exec.LookPath(name); err == nil {
		abs, err := filepath.Abs(path)
		return tool{path: abs}, err
	}
	for _, root := range []string{"/", ToolsDir()} {
		if t, ok := below(root, name); ok {
			return t, nil
		}
	}
	return tool{}, &ErrNoTool{name}
}

// below looks for a program in the folders below root; there is none below "".
func below(root, name string) (tool, bool) {
	if root == "" {
		return tool{}, false
	}
	root, err := filepath.Abs(root)
	if err != nil {
		return tool{}, false
	}
	for _, folder := range folders {
		path := filepath.Join(root, folder, name)
		if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() || info.Mode()&0o111 == 0 {
			continue
		}
		if root == "/" {
			return tool{path: path}, true
		}
		return tool{path: path, root: root}, true
	}
	return tool{}, false
}

// Find returns the path of a program, looked for as all of this package's are, or
// an ErrNoTool.
func Find(name string) (string, error) {
	t, err := find(name)
	return t.path, err
}

// Command prepares a program, looked for as all of this package's are, with the
// environment that it needs; it is told to end with ctx. It is an ErrNoTool if there is none.
func Command(ctx context.Context, name string, args ...string) (*exec.Cmd, error) {
	t, err := find(name)
	if err != nil {
		return nil, err
	}
	return t.command(ctx, args...), nil
}

// env is the environment of a program: ours, and for an unpacked one the folders
// of its libraries and of the programs it calls.
func (t tool) env() []string {
	var bins, libs []string
	for _, folder := range folders {
		bins = append(bins, filepath.Join(t.root, "/", folder))
	}
	if t.root == "" {
		return append(withoutVars(os.Environ(), "PATH", "LD_LIBRARY_PATH"), "PATH="+os.Getenv("PATH")+":"+strings.Join(bins, ":"))
	}
	env := withoutVars(os.Environ(), "PATH", "LD_LIBRARY_PATH", "PYTHONPATH")
	libs = libraryFolders(t.root)
	return append(env,
		"PATH="+strings.Join(bins, ":")+":"+os.Getenv("PATH"),
		"LD_LIBRARY_PATH="+strings.Join(libs, ":"),
		"PYTHONPATH="+filepath.Join(t.root, "usr/lib/python3/dist-packages"))
}

func withoutVars(env []string, names ...string) []string {
	var out []string
next:
	for _, kv := range env {
		for _, name := range names {
			if strings.HasPrefix(kv, name+"=") {
				continue next
			}
		}
		out = append(out, kv)
	}
	return out
}

// libraryFolders lists the folders below root that hold shared libraries.
func libraryFolders(root string) []string {
	var out []string
	for _, top := range []string{"usr/lib", "lib"} {
		dirs := map[string]bool{}
		// What cannot be read holds no library for us: the walk goes on.
		_ = filepath.WalkDir(filepath.Join(root, top), func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() && strings.Contains(d.Name(), ".so") && !dirs[filepath.Dir(path)] {
				dirs[filepath.Dir(path)] = true
				out = append(out, filepath.Dir(path))
			}
			return nil
		})
	}
	return out
}

// command prepares a child that ends with ctx: it is asked to, and killed if it
// has not after two seconds.
func (t tool) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, t.path, args...)
	cmd.Env = t.env()
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 2 * time.Second
	return cmd
}

// child is a peer that runs.
type child struct {
	name   string
	cmd    *exec.Cmd
	cancel context.CancelFunc
	done   chan struct{}
	log    string // path
	once   sync.Once
}

// start runs t until its context ends, its output going to a file.
func (t tool) start(ctx context.Context, logPath string, args ...string) (*child, error) {
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", filepath.Base(t.path), err)
	}
	ctx, cancel := context.WithCancel(ctx)
	c := &child{name: filepath.Base(t.path), cancel: cancel, done: make(chan struct{}), log: logPath}
	cmd := t.command(ctx, args...)
	c.cmd = cmd
	cmd.Stdout, cmd.Stderr = log, log
	// A child that outlived us, killed, would keep its sockets and its folder. The
	// signal comes when the thread that started the child ends: it waits, locked.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error, 1)
	go func() {
		defer close(c.done)
		defer log.Close()
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			// How it ended is in its log; that it ended is what callers see.
			_ = cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		cancel()
		<-c.done
		return nil, fmt.Errorf("start %s: %w", c.name, err)
	}
	return c, nil
}

// stop ends the child and waits for it.
func (c *child) stop() {
	c.once.Do(c.cancel)
	<-c.done
}

// kill ends the child without asking it, and waits for it.
func (c *child) kill() {
	c.once.Do(func() {
		_ = c.cmd.Process.Kill() // it may have ended
	})
	<-c.done
	c.cancel()
}

// ready waits until probe succeeds, the child ends or a minute has passed.
func (c *child) ready(ctx context.Context, probe func() error) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		err := probe()
		if err == nil {
			return nil
		}
		select {
		case <-c.done:
			return fmt.Errorf("%s ended at once: %s", c.name, lastLines(c.log))
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("%s is not ready: %s", c.name, lastLines(c.log)), err)
		case <-tick.C:
		}
	}
}

// lastLines is the end of a child's log, for an error.
func lastLines(path string) string {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	text := strings.TrimSpace(string(raw))
	return text[max(0, len(text)-600):]
}

// FreePort is an address on the loopback that nobody listened on a moment ago.
func FreePort() (string, error) {
	list, err := FreePorts(1)
	if err != nil {
		return "", err
	}
	return list[0], nil
}

// FreePorts is n of them, each another.
func FreePorts(n int) ([]string, error) {
	list := make([]string, n)
	for i := range list {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // when all are drawn
		list[i] = l.Addr().String()
	}
	return list, nil
}

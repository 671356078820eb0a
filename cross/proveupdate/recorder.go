package main

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// diskSize is the size of the file system that is cut.
const diskSize = 24 << 20

// disk is a file in memory, served by FUSE, below a loop device. It records what is written
// and when it is made durable.
type disk struct {
	mu   sync.Mutex
	base []byte // at the beginning
	data []byte // now
	log  []event
}

// event is a write, or with data nil a flush, or with a text a report that something is done.
type event struct {
	off  int64
	data []byte
	done string
}

type diskNode struct {
	fs.Inode
	d *disk
}

var _ interface {
	fs.NodeOpener
	fs.NodeReader
	fs.NodeWriter
	fs.NodeFsyncer
	fs.NodeGetattrer
	fs.NodeSetattrer
} = (*diskNode)(nil)

func (n *diskNode) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	return nil, fuse.FOPEN_DIRECT_IO, 0
}

func (n *diskNode) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	out.Mode, out.Size = 0o600|syscall.S_IFREG, diskSize
	return 0
}

func (n *diskNode) Setattr(ctx context.Context, f fs.FileHandle, _ *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	return n.Getattr(ctx, f, out)
}

func (n *diskNode) Read(_ context.Context, _ fs.FileHandle, p []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	n.d.mu.Lock()
	defer n.d.mu.Unlock()
	return fuse.ReadResultData(p[:copy(p, n.d.data[min(off, diskSize):])]), 0
}

func (n *diskNode) Write(_ context.Context, _ fs.FileHandle, p []byte, off int64) (uint32, syscall.Errno) {
	n.d.mu.Lock()
	defer n.d.mu.Unlock()
	if off+int64(len(p)) > diskSize {
		return 0, syscall.ENOSPC
	}
	copy(n.d.data[off:], p)
	n.d.log = append(n.d.log, event{off: off, data: slices.Clone(p)})
	return uint32(len(p)), 0
}

func (n *diskNode) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	n.d.mark("")
	return 0
}

// mark enters a flush, or that something is done.
func (d *disk) mark(done string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.log = append(d.log, event{done: done})
}

// serve mounts a folder with one file "disk".
func (d *disk) serve(dir string) (*fuse.Server, error) {
	root := &fs.Inode{}
	return fs.Mount(dir, root, &fs.Options{
		MountOptions: fuse.MountOptions{DirectMountStrict: true, FsName: "prove-update"},
		OnAdd: func(ctx context.Context) {
			root.AddChild("disk", root.NewPersistentInode(ctx, &diskNode{d: d}, fs.StableAttr{Mode: syscall.S_IFREG}), true)
		},
	})
}

// state is what a cut after the first n events leaves: everything up to the last flush, and
// of what followed all, none, or half with some sectors torn.
func (d *disk) state(n int, rng *rand.Rand) []byte {
	p := slices.Clone(d.base)
	flushed := 0
	for i, e := range d.log[:n] {
		if e.data == nil && e.done == "" {
			flushed = i
		}
	}
	how := rng.IntN(4)
	for i, e := range d.log[:n] {
		switch {
		case i < flushed || how == 0:
			copy(p[e.off:], e.data)
		case how == 1 || rng.IntN(2) == 0:
		case how == 2:
			copy(p[e.off:], e.data)
		default:
			for at := 0; at < len(e.data); at += 512 {
				if rng.IntN(2) == 0 {
					copy(p[int(e.off)+at:], e.data[at:min(at+512, len(e.data))])
				}
			}
		}
	}
	return p
}

// acked is what was reported as done in the first n events.
func (d *disk) acked(n int) (done []string) {
	for _, e := range d.log[:n] {
		if e.done != "" {
			done = append(done, e.done)
		}
	}
	return done
}

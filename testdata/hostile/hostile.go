// Package hostile makes files that mean harm: models, packages and G-code of which every
// one is a sound file but for one lie. They are threats T15 to T17, word by word: archives
// that lie about themselves, XML that never ends, numbers that are none, meshes that
// cannot be, commands that leave the envelope.
//
// [All] is the whole corpus. It is sent to the session of a real agent by package
// cross/scenario, where each file has to be refused while the machine stays cold; parts
// of it are the tables of the rooms that read such files ([Archives] of slicer/pack,
// [STL], [OBJ] and [Packages] of slicer/mesh). [Sound] are the files that the lies are
// made from, and others that look wrong and are not: the control.
package hostile

import (
	"fmt"
	"io"
	"os"
)

// Class is what is wrong with a file, as far as whoever reads it says so.
type Class uint8

// The classes.
const (
	Sound       Class = iota // nothing: it can be printed, if need be after repairs
	NoFormat                 // it is not what it begins as
	NoShape                  // a model that no body can be made of
	Unsupported              // a model whose meaning would be another without an extension
	TooBig                   // more than Budget bytes of memory
	NoProgram                // G-code that the machine must not run
)

// String names the class.
func (c Class) String() string {
	return [...]string{"sound", "no format", "no shape", "unsupported", "too big", "no program"}[c]
}

// Budget is the memory in bytes in which the sound files have room and those that are
// TooBig have not.
const Budget = 2 << 20

// File is one file of the corpus.
type File struct {
	Name  string // which lie; unique
	Class Class
	Body  []byte // what it begins with
	Size  int64  // if larger than Body: there is a hole behind it
}

// Len is how many bytes the file has.
func (f File) Len() int64 { return max(f.Size, int64(len(f.Body))) }

// WriteTo writes the file to an empty one of the file system. A hole takes no room.
func (f File) WriteTo(to *os.File) error {
	if _, err := to.Write(f.Body); err != nil {
		return fmt.Errorf("writing a hostile file: %w", err)
	}
	if err := to.Truncate(f.Len()); err != nil {
		return fmt.Errorf("writing a hostile file: %w", err)
	}
	_, err := to.Seek(0, io.SeekStart)
	return err
}

// All is the corpus: every file but the sound ones. Names say where a file belongs.
func All() ([]File, error) {
	secured, err := Secured()
	if err != nil {
		return nil, err
	}
	var all []File
	for _, room := range []struct {
		name  string
		files []File
	}{
		{"stl", STL()}, {"obj", OBJ()}, {"zip", Archives()}, {"3mf", Packages()}, {"keystore", secured}, {"gcode", GCode()}, {"bgcode", Binary()}, {"plates", Plates()},
	} {
		for _, f := range room.files {
			f.Name = room.name + ": " + f.Name
			all = append(all, f)
		}
	}
	return all, nil
}

// must is for encoders that write to memory.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

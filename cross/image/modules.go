package image

import (
	"bytes"
	"debug/elf"
	"fmt"
	"path"
	"slices"
	"strings"
)

// modules picks modules out of a kernel's files: those of list and what they depend on, by
// what they say of themselves (section .modinfo). It returns them by their names, and the
// order in which they are loaded, as the init reads it.
func modules(files map[string][]byte, list []string) (picked map[string][]byte, order []string, err error) {
	p := picker{files: map[string][]byte{}, picked: map[string][]byte{}}
	for name, b := range files {
		if stem, ok := strings.CutSuffix(path.Base(name), ".ko"); ok {
			p.files[canonical(stem)] = b
		}
	}
	for _, name := range list {
		name, optional := strings.CutPrefix(name, "-")
		if err := p.add(canonical(name), optional, 0); err != nil {
			return nil, nil, err
		}
	}
	return p.picked, p.order, nil
}

// canonical is a module's name as the kernel compares them.
func canonical(name string) string { return strings.ReplaceAll(name, "-", "_") }

type picker struct {
	files, picked map[string][]byte
	order         []string
}

const maxDepth = 16 // of modules that need each other

func (p *picker) add(name string, optional bool, depth int) error {
	if _, there := p.picked[name]; there {
		if i := slices.Index(p.order, "-"+name); i >= 0 && !optional {
			p.order[i] = name // something needs it
		}
		return nil
	}
	b, ok := p.files[name]
	if !ok || depth > maxDepth {
		return fmt.Errorf("the kernel has no module %s: correct the board's list (modules that are built in are not named)", name)
	}
	depends, err := dependsOn(b)
	if err != nil {
		return fmt.Errorf("module %s: %w", name, err)
	}
	for _, d := range depends {
		if err := p.add(canonical(d), optional, depth+1); err != nil {
			return err
		}
	}
	p.picked[name] = b
	if optional {
		name = "-" + name
	}
	p.order = append(p.order, name)
	return nil
}

// dependsOn reads the names of the modules that one needs.
func dependsOn(module []byte) ([]string, error) {
	f, err := elf.NewFile(bytes.NewReader(module))
	if err != nil {
		return nil, err
	}
	s := f.Section(".modinfo")
	if s == nil {
		return nil, fmt.Errorf("has no section .modinfo")
	}
	text, err := s.Data()
	if err != nil {
		return nil, err
	}
	for field := range bytes.SplitSeq(text, []byte{0}) {
		if v, ok := bytes.CutPrefix(field, []byte("depends=")); ok && len(v) > 0 {
			return strings.Split(string(v), ","), nil
		}
	}
	return nil, nil
}

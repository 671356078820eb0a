package hostile

import (
	"archive/zip"
	"fmt"
	"strings"
)

const (
	relsName  = "_rels/.rels"
	modelName = "3D/3dmodel.model"

	coreNS   = `xmlns="http://schemas.microsoft.com/3dmanufacturing/core/2015/02"`
	prodNS   = `xmlns:p="http://schemas.microsoft.com/3dmanufacturing/production/2015/06"`
	relModel = "http://schemas.microsoft.com/3dmanufacturing/2013/01/3dmodel"
	relKeys  = "http://schemas.microsoft.com/3dmanufacturing/2019/04/keystore"
	relDraft = "http://schemas.microsoft.com/3dmanufacturing/2019/07/keystore"
	rootRel  = `<?xml version="1.0" encoding="UTF-8"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Target="/3D/3dmodel.model" Id="rel0" Type="` + relModel + `"/></Relationships>`

	item = `<item objectid="1"/>`
)

// packed makes a package of parts.
func packed(parts ...entry) []byte {
	for i := range parts {
		parts[i].method = zip.Deflate
	}
	return archive(parts...)
}

func part(name, text string) entry { return entry{name: name, body: []byte(text)} }

// package3MF is a package with one model.
func package3MF(model string, more ...entry) []byte {
	return packed(append([]entry{
		part("[Content_Types].xml", `<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>`),
		part(relsName, rootRel), part(modelName, model),
	}, more...)...)
}

// cubeXML is the mesh of a cube of 20 mm.
func cubeXML() string {
	var b strings.Builder
	b.WriteString("<mesh><vertices>")
	for i := range 8 {
		p := corner(i)
		fmt.Fprintf(&b, `<vertex x="%v" y="%v" z="%v"/>`, p[0], p[1], p[2])
	}
	b.WriteString("</vertices><triangles>")
	for _, s := range sides {
		fmt.Fprintf(&b, `<triangle v1="%d" v2="%d" v3="%d"/>`, s[0], s[1], s[2])
	}
	b.WriteString("</triangles></mesh>")
	return b.String()
}

// model puts resources and items into a model.
func model(attrs, resources, items string) string {
	return `<?xml version="1.0" encoding="UTF-8"?>` + "\n<model " + coreNS + " " + prodNS + " " + attrs + "><metadata name=\"Title\">a &amp; b</metadata><resources>" +
		resources + "</resources><build>" + items + "</build></model>"
}

func cubeModel() string {
	return model(`unit="millimeter" xml:lang="en-US"`, `<object id="1" type="model">`+cubeXML()+`</object>`, item)
}

// object is a cube by an id, group one that consists of others.
func object(id string) string { return `<object id="` + id + `">` + cubeXML() + `</object>` }
func group(id, components string) string {
	return `<object id="` + id + `"><components>` + components + `</components></object>`
}
func ref(id string) string { return `<component objectid="` + id + `"/>` }

// changed is the sound model with one piece of its text in place of another.
func changed(old, with string) string {
	text := cubeModel()
	if !strings.Contains(text, old) {
		panic("there is no " + old)
	}
	return strings.Replace(text, old, with, 1)
}

// Packages are 3MF packages that lie in what is in them: threat T15. Their archives are
// sound.
func Packages() []File {
	var files []File
	for _, table := range [][]File{relations(), texts(), objects(), numbers(), elsewhere()} {
		files = append(files, table...)
	}
	return files
}

// relations are lies about which part is the model.
func relations() []File {
	rels := func(text string) []byte { return packed(part(relsName, text), part(modelName, cubeModel())) }
	more := strings.TrimSuffix(rootRel, "</Relationships>")
	relation := func(target, kind string) []byte {
		return rels(more + `<Relationship Target="` + target + `" Id="r" Type="` + kind + `"/></Relationships>`)
	}
	return []File{
		{Name: "not an archive", Class: NoFormat, Body: []byte("PK\x03\x04 and nothing")},
		{Name: "no relationships", Class: NoFormat, Body: packed(part(modelName, cubeModel()))},
		{Name: "no model", Class: NoFormat, Body: packed(part(relsName, rootRel))},
		{Name: "two models", Class: NoFormat, Body: relation("/3D/3dmodel.model", relModel)},
		{Name: "a model elsewhere", Class: NoFormat, Body: rels(strings.Replace(rootRel, `Target="`, `TargetMode="External" Target="http://x`, 1))},
		{Name: "a key store that is not there", Class: NoFormat, Body: relation("/Secure/keystore.xml", relKeys)},
		{Name: "a key store of the draft", Class: Unsupported, Body: relation("/3D/3dmodel.model", relDraft)},
		{Name: "a path upwards", Class: NoFormat, Body: rels(strings.Replace(rootRel, "/3D/", "/../3D/", 1))},
		{Name: "an archive as model", Class: NoFormat, Body: package3MF(string(package3MF(cubeModel())))},
		{Name: "ten archives in each other", Class: NoFormat, Body: nested(10)},
	}
}

// nested is an archive in an archive and so on.
func nested(n int) []byte {
	b := package3MF(cubeModel())
	for range n {
		b = package3MF(string(b))
	}
	return b
}

// texts are lies of XML.
func texts() []File {
	with := func(resources string) string { return model("", resources, item) }
	var wide strings.Builder
	wide.WriteString("\xff\xfe")
	for _, c := range []byte(cubeModel()) {
		wide.Write([]byte{c, 0})
	}
	var files []File
	for _, c := range []struct {
		name, text string
		class      Class
	}{
		{"blanks without end", with(strings.Repeat(" ", 5<<20) + object("1")), NoFormat},
		{"a comment without end", with("<!--" + strings.Repeat("x", 5<<20) + "-->" + object("1")), NoFormat},
		{"metadata without end", changed("a &amp; b", strings.Repeat("x", 5<<20)), NoFormat},
		{"corners without end", changed("</vertices>", strings.Repeat(`<vertex x="0" y="0" z="0"/>`, 1<<18)+"</vertices>"), TooBig},
		{"triangles without end", changed("</triangles>", strings.Repeat(`<triangle v1="0" v2="1" v3="2"/>`, 1<<18)+"</triangles>"), TooBig},
		{"document type", changed("<model", "<!DOCTYPE model [<!ENTITY a \"b\">]><model"), NoFormat},
		{"billion laughs", changed("<model", "<!DOCTYPE m [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;\"><!ENTITY c \"&b;&b;\">]><model"), NoFormat},
		{"a file as entity", changed("<model", `<!DOCTYPE m [<!ENTITY a SYSTEM "file:///etc/passwd">]><model`), NoFormat},
		{"entity", changed("a &amp; b", "&a;"), NoFormat},
		{"UTF-16", wide.String(), NoFormat},
		{"100,000 deep", with(strings.Repeat("<a>", 100_000) + strings.Repeat("</a>", 100_000)), NoFormat},
		{"an attribute of 1 MiB", changed(`id="1"`, `id="1" name="`+strings.Repeat("x", 1<<20)+`"`), NoFormat},
		{"an attribute twice", changed(`id="1"`, `id="1" id="1"`), NoFormat},
		{"ends too early", changed("</model>", ""), NoFormat},
		{"ends crosswise", changed("</build></model>", "</model></build>"), NoFormat},
		{"NUL", changed("a &amp; b", "a\x00b"), NoFormat},
		{"another root", "<html></html>", NoFormat},
		{"another namespace", changed("core/2015/02", "core/2099/02"), NoFormat},
		{"no resources", "<model " + coreNS + "><build/></model>", NoFormat},
		{"no build", "<model " + coreNS + "><resources/></model>", NoFormat},
		{"two builds", changed("</build>", "</build><build/>"), NoFormat},
	} {
		files = append(files, File{Name: c.name, Class: c.class, Body: package3MF(c.text)})
	}
	return files
}

// objects are lies about what consists of what.
func objects() []File {
	var many strings.Builder
	for i := range 100_000 {
		many.WriteString(group(fmt.Sprint(i+1), ""))
	}
	var files []File
	for _, c := range []struct {
		name, resources, items string
		class                  Class
	}{
		{"nothing to build", object("1"), "", NoShape},
		{"nothing in it", group("1", ""), item, NoShape},
		{"the same id twice", object("1") + object("1"), item, NoFormat},
		{"an unknown object", object("1"), `<item objectid="2"/>`, NoFormat},
		{"10^5 objects", many.String(), item, NoFormat},
		{"itself", group("1", ref("1")), item, NoFormat},
		{"a cycle of two", group("1", ref("2")) + group("2", ref("1")), item, NoFormat},
		{"33 levels", object("1") + levels(33, 1), `<item objectid="34"/>`, NoFormat},
		{"10^7 shells", object("1") + levels(7, 10), `<item objectid="8"/>`, TooBig},
		{"10^9 instances", object("1") + levels(9, 10), `<item objectid="10"/>`, TooBig},
		{"10^60 instances", object("1") + levels(30, 100), `<item objectid="31"/>`, TooBig},
		{"10^60 instances of nothing", group("1", "") + levels(30, 100), `<item objectid="31"/>`, NoShape},
		{"10^5 instances", object("1"), strings.Repeat(item, 100_000), TooBig},
		{"far away", object("1"), item + `<item objectid="1" transform="1 0 0 0 1 0 0 0 1 1e5 0 0"/>`, NoShape},
		{"grown by components", object("1") + grown(20), `<item objectid="21"/>`, NoShape},
		{"triangles before corners", `<object id="1"><mesh><triangles/><vertices/></mesh></object>`, item, NoFormat},
		{"an empty object", `<object id="1"/>`, item, NoFormat},
		{"a part that is not there", group("1", `<component objectid="7" p:path="/3D/o.model"/>`), item, NoFormat},
	} {
		files = append(files, File{Name: c.name, Class: c.class, Body: package3MF(model("", c.resources, c.items))})
	}
	return files
}

// levels are objects 2 to n+1, each of which holds the one before so many times.
func levels(n, times int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(group(fmt.Sprint(i+2), strings.Repeat(ref(fmt.Sprint(i+1)), times)))
	}
	return b.String()
}

// grown are objects 2 to n+1, each of which holds the one before ten times as large.
func grown(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(group(fmt.Sprint(i+2), fmt.Sprintf(`<component objectid="%d" transform="10 0 0 0 10 0 0 0 10 0 0 0"/>`, i+1)))
	}
	return b.String()
}

// numbers are numbers that are none, or that mean nothing.
func numbers() []File {
	var files []File
	for _, c := range []struct {
		name, transform string
		class           Class
	}{
		{"singular", "1 0 0 0 1 0 1 1 0 0 0 0", NoShape},
		{"all zero", "0 0 0 0 0 0 0 0 0 0 0 0", NoShape},
		{"NaN", "NaN 0 0 0 1 0 0 0 1 0 0 0", NoFormat},
		{"Inf", "inf 0 0 0 1 0 0 0 1 0 0 0", NoFormat},
		{"1e38", "1e38 0 0 0 1 0 0 0 1 0 0 0", NoShape},
		{"1e999", "1e999 0 0 0 1 0 0 0 1 0 0 0", NoFormat},
		{"eleven numbers", "1 0 0 0 1 0 0 0 1 0 0", NoFormat},
		{"thirteen numbers", "1 0 0 0 1 0 0 0 1 0 0 0 0", NoFormat},
	} {
		files = append(files, File{Name: "a transform: " + c.name, Class: c.class, Body: package3MF(model("", object("1"), `<item objectid="1" transform="`+c.transform+`"/>`))})
	}
	for _, c := range []struct {
		name, old, with string
		class           Class
	}{
		{"no id", `object id="1"`, "object", NoFormat},
		{"id 0", `object id="1"`, `object id="0"`, NoFormat},
		{"id 2^31", `object id="1"`, `object id="2147483648"`, NoFormat},
		{"an unknown type", `type="model"`, `type="toy"`, NoFormat},
		{"an item of type other", `type="model"`, `type="other"`, NoFormat},
		{"an unknown unit", `unit="millimeter"`, `unit="parsec"`, NoFormat},
		{"an index out of range", `v3="1"`, `v3="8"`, NoFormat},
		{"an index of 2^31", `v3="1"`, `v3="2147483648"`, NoFormat},
		{"a negative index", `v3="1"`, `v3="-1"`, NoFormat},
		{"two indices", `v3="1"`, ``, NoFormat},
		{"two coordinates", `z="0"`, ``, NoFormat},
		{"a coordinate of NaN", `z="0"`, `z="nan"`, NoFormat},
		{"a coordinate of Inf", `z="0"`, `z="-Inf"`, NoFormat},
		{"a coordinate of 1e999", `z="0"`, `z="1e999"`, NoFormat},
		{"a coordinate of 1e38", `z="0"`, `z="1e38"`, NoFormat},
		{"a hexadecimal coordinate", `z="0"`, `z="0x1p3"`, NoFormat},
		{"corners twice", "</vertices>", "</vertices><vertices/>", NoFormat},
		{"mesh and components", "</mesh>", "</mesh><components/>", NoFormat},
	} {
		files = append(files, File{Name: c.name, Class: c.class, Body: package3MF(changed(c.old, c.with))})
	}
	return files
}

// elsewhere are lies in extensions, in other parts and in what other programs add.
func elsewhere() []File {
	extension := func(uri string) []byte {
		return package3MF(model(`xmlns:e="`+uri+`" requiredextensions="e"`, object("1"), item))
	}
	config := func(name, text string) []byte { return package3MF(cubeModel(), part(name, text)) }
	leaf := func(path, text string) []byte {
		return package3MF(model("", group("1", `<component objectid="7" p:path="`+path+`"/>`), item), part("3D/o.model", text))
	}
	const prusa, bambu = "Metadata/Slic3r_PE_model.config", "Metadata/model_settings.config"
	return []File{
		{Name: "slices", Class: Unsupported, Body: extension("http://schemas.microsoft.com/3dmanufacturing/slice/2015/07")},
		{Name: "beams", Class: Unsupported, Body: extension("http://schemas.microsoft.com/3dmanufacturing/beamlattice/2017/02")},
		{Name: "an unknown extension", Class: Unsupported, Body: extension("urn:unknown")},
		{Name: "an undeclared extension", Class: Unsupported, Body: package3MF(model(`requiredextensions="zz"`, object("1"), item))},
		{Name: "cut out, PrusaSlicer", Class: Unsupported, Body: config(prusa, `<config><object id="1"><volume firstid="0" lastid="3"><metadata key="volume_type" value="NegativeVolume"/></volume></object></config>`)},
		{Name: "cut out, Bambu Studio", Class: Unsupported, Body: config(bambu, `<config><object id="1"><part id="2" subtype="negative_part"/></object></config>`)},
		{Name: "a modifier beyond the mesh", Class: NoFormat, Body: config(prusa, `<config><object id="1"><volume firstid="0" lastid="99"><metadata key="volume_type" value="ParameterModifier"/></volume></object></config>`)},
		{Name: "a part that is no model", Class: NoFormat, Body: leaf("/3D/o.model", "hello")},
		{Name: "an encrypted part", Class: NoFormat, Body: leaf("/3D/o.model", "%3McF\x00\x00\x00")},
		{Name: "a part without the object", Class: NoFormat, Body: leaf("/3D/o.model", model("", object("8"), ""))},
		{Name: "a part that refers to parts", Class: NoFormat, Body: leaf("/3D/o.model", model("", group("7", `<component objectid="1" p:path="/3D/3dmodel.model"/>`), ""))},
		{Name: "a relative path", Class: NoFormat, Body: leaf("3D/o.model", model("", object("7"), ""))},
		{Name: "a part upwards", Class: NoFormat, Body: leaf("/../../etc/passwd", model("", object("7"), ""))},
	}
}

package mesh

func (m *Mesh) mend() {}

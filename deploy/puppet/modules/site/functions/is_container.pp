# Whether this host is a container: its own systemd, but another's kernel and clock.
function site::is_container() >> Boolean {
  $facts['virtual'] in ['systemd_nspawn', 'lxc', 'docker', 'podman', 'openvz', 'container_other']
}

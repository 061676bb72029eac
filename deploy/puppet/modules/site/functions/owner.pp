# The owner of what this site manages: root on a host; whoever runs the wing where that is no host.
function site::owner() >> Optional[String] {
  if site::is_host() { 'root' } else { undef }
}

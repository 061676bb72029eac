# The owner of what this site manages: `name` on a host; whoever runs the wing where that is none.
#
# @param name The account on a host.
function site::owner(String $name = 'root') >> Optional[String] {
  if site::is_host() { $name } else { undef }
}

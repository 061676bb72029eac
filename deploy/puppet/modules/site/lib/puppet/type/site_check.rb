# What must hold once everything before it is done. An exec that fails says only with which code it ended;
# here the program's own words are the reason why the run failed.
Puppet::Type.newtype(:site_check) do
  desc 'Runs `command`: exit code 0 means that the title holds. If it does not hold at once, `wait` is run,
    which gives it time; what that prints is the reason of the failure. Both have to end by themselves.'

  newparam(:title_held, namevar: true) do
    desc 'What holds, as a sentence.'
  end

  newparam(:command) do
    desc 'The program that looks, as a list of words.'
  end

  newparam(:wait) do
    desc 'The program that waits until it holds, as a list of words.'
  end

  newproperty(:holds) do
    desc 'Always true: it is what the check is for.'
    newvalue(:true)
    newvalue(:false)
    defaultto :true

    def retrieve
      run(resource[:command]).exitstatus.zero? ? :true : :false
    end

    def sync
      said = run(resource[:wait])
      raise Puppet::Error, said.to_s.strip unless said.exitstatus.zero?
    end

    def change_to_s(_before, _after)
      'holds'
    end

    def run(words)
      Puppet::Util::Execution.execute(words, failonfail: false, combine: true)
    rescue Puppet::ExecutionFailure => error
      Puppet::Util::Execution::ProcessOutput.new(error.message, 127)
    end
  end
end

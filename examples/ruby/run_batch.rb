# frozen_string_literal: true

# Runs a batch from start to end: upload, create, watch, print every answer beside its question.
#
#     bundle install
#     export OPENAI_BASE_URL=http://127.0.0.1:8024/v1 OPENAI_API_KEY=any
#     bundle exec ruby run_batch.rb my-model
#
# Ctrl-C asks whether to cancel the batch; what is finished by then is printed all the same.

require "json"
require "net/http"
require "openai"
require "pathname"
require "tmpdir"

ENDPOINT = "/v1/chat/completions"
ENDED = %i[completed failed expired cancelled].freeze
QUESTIONS = {
  "sky" => "Why is the sky blue? One sentence.",
  "sea" => "Why is the sea salty? One sentence.",
  "grass" => "Why is grass green? One sentence."
}.freeze

BASE_URL = ENV.fetch("OPENAI_BASE_URL", "http://127.0.0.1:8024/v1")
API_KEY = ENV.fetch("OPENAI_API_KEY", "any")

# One request a line; custom_id is what answers are matched by.
def write_input(path, model)
  lines = QUESTIONS.map do |custom_id, question|
    body = {model: model, messages: [{role: "user", content: question}]}
    JSON.generate(custom_id: custom_id, method: "POST", url: ENDPOINT, body: body)
  end
  path.write("#{lines.join("\n")}\n")
end

def submit(client, model)
  file = Dir.mktmpdir do |folder|
    path = Pathname(folder) / "requests.jsonl"
    write_input(path, model)
    client.files.create(file: path, purpose: :batch)
  end
  client.batches.create(
    input_file_id: file.id,
    endpoint: ENDPOINT.to_sym,
    completion_window: :"24h",
    metadata: {example: "run_batch.rb"}
  )
end

# Why a batch does not move, when it does not (Offpeak only). The SDK shows no headers, so they are asked for.
def waiting_reason(batch_id)
  uri = URI("#{BASE_URL}/batches/#{batch_id}")
  Net::HTTP.get_response(uri, {"authorization" => "Bearer #{API_KEY}"})["offpeak-waiting-reason"]
end

# Prints each change until the batch has ended.
def watch(client, batch_id)
  shown = nil
  loop do
    batch = client.batches.retrieve(batch_id)
    counts = batch.request_counts
    line = "#{batch.status}: #{counts.completed} done, #{counts.failed} failed, #{counts.total} in all"
    reason = waiting_reason(batch_id)
    line += " (#{reason})" if reason
    puts line unless line == shown
    shown = line
    return batch if ENDED.include?(batch.status)

    sleep 1
  end
end

def watch_until_told_otherwise(client, batch_id)
  watch(client, batch_id)
rescue Interrupt
  print "\nCancel the batch? [y: cancel, n: go on watching, other: leave it running] "
  case $stdin.gets&.strip
  when "y" then client.batches.cancel(batch_id)
  when "n" then puts "Watching on."
  else abort "#{batch_id} goes on by itself."
  end
  retry
end

# The lines of an output or error file by custom_id. There is no file when no line belongs there.
def results(client, file_id)
  return {} if file_id.nil?

  client.files.content(file_id).each_line.to_h do |text|
    line = JSON.parse(text)
    [line["custom_id"], line]
  end
end

# Either an answer that says no, or the reason why there is none, such as batch_cancelled.
def failure_text(line)
  return "it has no line" if line.nil?
  return "#{line["error"]["code"]}: #{line["error"]["message"]}" if line["response"].nil?

  "#{line["response"]["status_code"]}: #{line["response"]["body"]}"
end

def print_results(client, batch)
  if batch.errors
    batch.errors.data.each do |error|
      where = error.line ? "line #{error.line}: " : ""
      puts "#{where}#{error.message} (#{error.code})"
    end
    return
  end
  answers = results(client, batch.output_file_id)
  failures = results(client, batch.error_file_id)
  QUESTIONS.each do |custom_id, question|
    text = answers[custom_id]&.dig("response", "body", "choices", 0, "message", "content")
    puts "\n#{question}\n  #{text || "FAILED: #{failure_text(failures[custom_id])}"}"
  end
end

abort "usage: ruby run_batch.rb MODEL" unless ARGV.length == 1
client = OpenAI::Client.new(base_url: BASE_URL, api_key: API_KEY)
batch = submit(client, ARGV[0])
puts batch.id
print_results(client, watch_until_told_otherwise(client, batch.id))

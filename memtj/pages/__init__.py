"""The pages that commands write, each one self-contained HTML file: report of a demo, assessment, comparison."""

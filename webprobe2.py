import os,sys
exec(open('webprobe.py').read().split("for _ in range(3)")[0])
rows=sys.argv[1].split(';')
import collections, statistics
res=collections.defaultdict(list)
def run2(row, loop, tog):
    os.environ['TOGETHER']=str(tog)
    order={"scenario":row,"loop":loop,"heap":"warmed","seconds":0.4,"quick":False}
    p=subprocess.Popen([sys.executable,WORK,json.dumps(order)],stdout=subprocess.PIPE,env=loops.environment()|{'TOGETHER':str(tog)})
    port=json.loads(p.stdout.readline())['port']
    sc=[s for s in catalog.every_scenario() if s.name==row][0]
    l=subprocess.Popen([native.program('load'),sc.load,str(port),str(sc.connections),'64','0.2','0.4',str(p.pid)],stdout=subprocess.PIPE)
    done=json.loads(l.stdout.readline()); p.kill(); p.wait(); l.wait()
    res[row,loop,tog].append((done['cpu_ns']/done['requests']/1e3, done['requests']/0.4))
for _ in range(int(sys.argv[2])):
  for row in rows:
    for loop,tog in [('clearloop',1),('clearloop',64),('clearloop',1000),('zuvloop',1)]:
        run2(row,loop,tog)
for k,v in res.items(): print(k, 'median cpu %.2f best %.2f  n/s %.0f'%(statistics.median(x[0] for x in v), min(x[0] for x in v), statistics.median(x[1] for x in v)))
